//! RFC 5321 §4.1.1.4: DATA.

use crate::support::{Server, Target};

#[test]
fn data_needs_a_recipient() {
    let mut peer = Target::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.send("DATA\r\n");
    let reply = peer.hear_any();
    assert!(reply.starts_with("503") || reply.starts_with("554"), "{reply}");
}

#[test]
fn the_final_reply_names_the_message_and_where_the_primary_is() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.open_content();
    let reply = peer.ask("Subject: hi\r\n\r\nhi\r\n.", 250);
    let message = server.only_message().message;
    assert_eq!(
        reply,
        format!("250 2.0.0 {} held for firma.example, primary offline since 2026-11-24T04:39Z", message.id)
    );
    assert_eq!(message.header.subject, "hi");
}
