//! RFC 3030 §2: BDAT.

use crate::support::{Server, Target, recipient};

/// Whether the server under test offers CHUNKING; another one may do without.
fn offers_chunking(target: &Target) -> bool {
    target.connect().ask("EHLO sender.example", 250).contains("CHUNKING")
}

#[test]
fn chunks_are_answered_one_by_one_and_the_last_one_makes_the_message() {
    let target = Target::start();
    if !offers_chunking(&target) {
        return;
    }
    let mut peer = target.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask(&format!("RCPT TO:<{}>", recipient()), 250);
    peer.send("BDAT 14\r\nSubject: x\r\n\r\n");
    peer.hear(250);
    peer.send("BDAT 6\r\n.\r\na\r\nBDAT 0 LAST\r\n");
    peer.hear(250);
    peer.hear(250);
    peer.ask("QUIT", 221);
}

#[test]
fn the_octets_of_a_refused_chunk_are_not_commands() {
    let target = Target::start();
    if !offers_chunking(&target) {
        return;
    }
    let mut peer = target.greeted();
    peer.send("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert!(peer.hear_any().starts_with('5'));
    peer.hear(250);
}

#[test]
fn data_between_chunks_is_a_command_out_of_order() {
    let target = Target::start();
    if !offers_chunking(&target) {
        return;
    }
    let mut peer = target.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask(&format!("RCPT TO:<{}>", recipient()), 250);
    peer.send("BDAT 1\r\nx");
    peer.hear(250);
    peer.ask("DATA", 503);
    peer.ask("RSET", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
}

#[test]
fn a_message_is_stored_as_its_chunks_were_sent() {
    let server = Server::start();
    let content: Vec<u8> = [b"X: y\r\n\r\n\0..\r\n.\r\n\xff".repeat(20_000), b"\r\n.".to_vec()].concat();
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt(&server);
    peer.ask("EHLO sender.example", 250);
    peer.send("MAIL FROM:<a@sender.example> BODY=8BITMIME\r\nRCPT TO:<b@firma.example>\r\n");
    for chunk in content.chunks(50_001) {
        peer.send(format!("BDAT {}\r\n", chunk.len()));
        peer.send(chunk);
    }
    peer.send("BDAT 0 LAST\r\n");
    for _ in 0..2 + content.chunks(50_001).len() + 1 {
        peer.hear(250);
    }
    assert!(server.only_message().content == content);
}
