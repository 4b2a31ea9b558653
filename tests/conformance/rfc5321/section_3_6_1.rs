//! RFC 5321 §3.6.1 and RFC 5321 appendix C: source routes. The attempts to relay by them are in `admission.rs`.

use crate::support::Server;

#[test]
fn a_source_route_to_a_customer_is_refused_and_one_from_a_sender_is_dropped() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<@old.example,@older.example:a@sender.example>", 250);
    assert!(peer.ask("RCPT TO:<@old.example:b@firma.example>", 550).starts_with("550 5.7.1"));
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.reverse_path.to_string(), "a@sender.example");
}
