//! RFC 5321 §3.8: ends of sessions. Timeouts are tested in virtual time beside `src/smtp/connection/driver.rs`.

use crate::support::{Server, Target};

#[test]
fn quit_is_answered_and_the_server_closes() {
    let mut peer = Target::start().connect();
    peer.ask("QUIT", 221);
    assert!(peer.is_closed());
}

#[test]
fn a_connection_that_breaks_within_the_content_leaves_no_message() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.open_content();
    peer.send("half of a message\r\n");
    drop(peer);
    server.shutdown.cancel();
    let spool = server.spool.clone();
    server.stop();
    assert!(spool.kept().is_empty());
}
