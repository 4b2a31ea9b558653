//! RFC 4954: AUTH.

use crate::support::Server;

/// Nobody has a token here: AUTH is no command and MAIL has no such parameter, before TLS and under it (RFC 4954 §3,
/// RFC 4954 §5).
#[test]
fn where_nobody_may_prove_himself_nothing_is_offered() {
    let server = Server::start();
    let mut peer = server.connect();
    assert!(!peer.ask("EHLO sender.example", 250).contains("AUTH"));
    peer.ask("AUTH PLAIN AGZpcm1hAHg=", 502);
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt(&server);
    assert!(!peer.ask("EHLO sender.example", 250).contains("AUTH"));
    peer.ask("AUTH PLAIN AGZpcm1hAHg=", 502);
    peer.ask("AUTH LOGIN", 502);
    peer.ask("MAIL FROM:<a@sender.example> AUTH=<>", 555);
}
