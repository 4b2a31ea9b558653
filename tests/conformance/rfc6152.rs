//! RFC 6152: 8BITMIME.

use crate::spool::BodyType;
use crate::support::{Server, Target};

/// RFC 6152 §2.
#[test]
fn eight_bit_content_passes_unchanged() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example> BODY=8BITMIME", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("DATA", 354);
    let content: Vec<u8> = (0..=255u8).filter(|octet| ![b'\r', b'\n'].contains(octet)).chain(*b"\r\n").collect();
    peer.send(&content);
    peer.ask(".", 250);
    let kept = server.only_message();
    assert_eq!((kept.content, kept.message.body), (content, BodyType::EightBitMime));
}

#[test]
fn a_body_type_that_is_not_offered_is_refused() {
    let mut peer = Target::start().greeted();
    peer.send("MAIL FROM:<a@sender.example> BODY=BINARYMIME\r\n");
    assert!(peer.hear_any().starts_with('5'));
}

/// RFC 5321 §4.1.1.11: 555 for what is not known, 501 for what is not written as it should be.
#[test]
fn a_body_type_that_nobody_has_is_a_parameter_that_is_not_known() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example> BODY=BINARYMIME", 555);
    peer.ask("MAIL FROM:<a@sender.example> BODY=", 501);
    peer.ask("MAIL FROM:<a@sender.example> BODY=7BIT BODY=7BIT", 501);
}
