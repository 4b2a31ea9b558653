//! RFC 1985: ETRN.

use crate::support::Server;

/// RFC 1985 §5.3: nobody starts the queue of a server that he is not.
#[test]
fn a_stranger_starts_no_flush() {
    let mut peer = Server::start().greeted();
    peer.ask("ETRN firma.example", 459);
    peer.ask("ETRN", 501);
}
