//! RFC 5321 §4.3.1: the greeting.

use crate::support::{Sender, Server};

#[test]
fn the_greeting_begins_with_our_name() {
    let server = Server::start();
    let greeting = Sender::new(server.address).hear(220);
    assert!(greeting.starts_with("220 mx.example ESMTP"), "{greeting}");
}
