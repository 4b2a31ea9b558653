//! RFC 5321 §7: security considerations.

use crate::support::Server;

/// RFC 5321 §7.3.
#[test]
fn vrfy_says_the_same_of_every_address() {
    let mut peer = Server::start().connect();
    let known = peer.ask("VRFY b@firma.example", 252);
    assert_eq!(known, peer.ask("VRFY nobody@elsewhere.example", 252));
}

/// RFC 5321 §7.6.
#[test]
fn recipients_are_not_shown_to_each_other() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("RCPT TO:<c@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert!(!String::from_utf8(server.only_message().message.trace.to_vec()).unwrap().contains("for <"));
}
