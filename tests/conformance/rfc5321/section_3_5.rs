//! RFC 5321 §3.5: what is asked about addresses teaches nothing about them.

use crate::support::Server;

#[test]
fn expn_help_and_noop_answer_the_same_whatever_is_asked() {
    let server = Server::start();
    let mut peer = server.greeted();
    for (verb, code) in [("EXPN", 502), ("VRFY", 252), ("HELP", 214), ("NOOP", 250)] {
        let first = peer.ask(&format!("{verb} b@firma.example"), code);
        for asked in ["nobody@firma.example", "staff", "<b@firma.example>", "\"a b\"@elsewhere.example"] {
            assert_eq!(first, peer.ask(&format!("{verb} {asked}"), code), "{verb} {asked}");
        }
    }
    assert!(peer.ask("EXPN", 502).starts_with("502 5.5.1"));
}
