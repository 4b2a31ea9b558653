//! RFC 8689: REQUIRETLS.

use crate::support::{Sender, Server};

fn under_tls(server: &Server) -> Sender {
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    peer.encrypt(server)
}

/// RFC 8689 §3.
#[test]
fn it_is_offered_and_taken_under_tls_only() {
    let server = Server::start();
    let mut peer = server.connect();
    assert!(!peer.ask("EHLO sender.example", 250).contains("REQUIRETLS"));
    peer.ask("MAIL FROM:<a@sender.example> REQUIRETLS", 555);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    let mut peer = under_tls(&server);
    assert!(peer.ask("EHLO sender.example", 250).contains("250-REQUIRETLS"));
    peer.ask("MAIL FROM:<a@sender.example> REQUIRETLS=1", 501);
    peer.ask("MAIL FROM:<a@sender.example> REQUIRETLS REQUIRETLS", 501);
    peer.ask("MAIL FROM:<a@sender.example> requiretls", 250);
}

/// RFC 8689 §4.2.1.
#[test]
fn the_demand_is_kept_with_the_message() {
    let server = Server::start();
    let mut peer = under_tls(&server);
    peer.ask("EHLO sender.example", 250);
    for parameter in [" REQUIRETLS", ""] {
        peer.ask(&format!("MAIL FROM:<a@sender.example>{parameter}"), 250);
        peer.ask("RCPT TO:<b@firma.example>", 250);
        peer.ask("DATA", 354);
        peer.ask(".", 250);
    }
    let kept: Vec<bool> = server.spool.kept().iter().map(|kept| kept.message.requires_tls).collect();
    assert_eq!(kept, [true, false]);
}
