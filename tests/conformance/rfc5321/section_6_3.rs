//! RFC 5321 §6.3: loops.

use crate::support::Server;

#[test]
fn a_message_with_more_than_a_hundred_received_lines_is_refused() {
    let server = Server::start();
    let mut peer = server.greeted();
    let line = "Received: from a.example by b.example;\r\n\tTue, 24 Nov 2026 04:39:03 +0000\r\n";
    peer.open_content();
    peer.ask(&format!("{}\r\nx\r\n.", line.repeat(100)), 250);
    peer.open_content();
    assert!(peer.ask(&format!("{}\r\nx\r\n.", line.repeat(101)), 554).starts_with("554 5.4.6"));
    server.only_message();
}
