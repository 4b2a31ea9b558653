//! RFC 5321 §4.1.1.5: RSET.

use crate::support::Target;

#[test]
fn rset_forgets_the_transaction_and_keeps_the_session() {
    let mut peer = Target::start().greeted();
    peer.ask("RSET", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RSET", 250);
    peer.ask("DATA", 503);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
}
