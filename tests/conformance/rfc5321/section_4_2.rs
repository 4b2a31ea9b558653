//! RFC 5321 §4.2: replies.

use crate::support::Target;

#[test]
fn a_command_that_nobody_knows_is_500_and_one_that_is_not_offered_502() {
    let mut peer = Target::start().greeted();
    peer.send("XYZZY\r\n");
    let reply = peer.hear_any();
    assert!(reply.starts_with("500") || reply.starts_with("502"), "{reply}");
    peer.send("EXPN list\r\n");
    let reply = peer.hear_any();
    assert!(reply.starts_with("502") || reply.starts_with("550"), "{reply}");
}
