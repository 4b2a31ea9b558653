//! RFC 1985: ETRN.

use crate::support::Server;

/// RFC 1985 §5.3: a queue that is not started on request.
#[test]
fn a_flush_is_not_started_by_request() {
    let mut peer = Server::start().greeted();
    peer.ask("ETRN firma.example", 459);
    peer.ask("ETRN", 501);
}
