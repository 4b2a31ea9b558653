//! RFC 5321 §4.1.1.11: parameters of MAIL and RCPT.

use crate::support::Target;

#[test]
fn parameters_of_extensions_that_are_not_offered_are_refused_with_555() {
    let mut peer = Target::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example> XYZZY=1", 555);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example> XYZZY=1", 555);
}
