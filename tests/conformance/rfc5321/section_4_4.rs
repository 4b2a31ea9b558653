//! RFC 5321 §4.4: trace information.

use crate::support::Server;

#[test]
fn one_received_line_tells_who_came_from_where_and_content_stays_as_it_was() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.open_content();
    peer.ask("Received: from older\r\nSubject: x\r\n\r\nhi\r\n.", 250);
    let kept = server.only_message();
    let trace = String::from_utf8(kept.message.trace.to_vec()).unwrap();
    assert!(
        trace.starts_with("Received: from sender.example ([127.0.0.1])\r\n\tby mx.example with ESMTP id "),
        "{trace}"
    );
    assert!(trace.contains(&format!(" id {}\r\n\tfor <b@firma.example>;\r\n\t", kept.message.id)), "{trace}");
    assert!(trace.ends_with(" +0000\r\n"), "{trace}");
    assert_eq!(kept.content, b"Received: from older\r\nSubject: x\r\n\r\nhi\r\n");
}
