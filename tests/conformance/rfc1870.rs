//! RFC 1870: SIZE.

use crate::base::ByteCount;
use crate::support::{Server, Target};

/// RFC 1870 §4.
#[test]
fn the_limit_is_announced() {
    let reply = Target::start().connect().ask("EHLO sender.example", 250);
    assert!(reply.lines().any(|line| line.get(4..).is_some_and(|word| word.starts_with("SIZE"))), "{reply}");
}

/// RFC 1870 §6.1.
#[test]
fn a_declared_size_above_the_limit_is_refused_at_mail() {
    let server = Server::start_with(|settings| settings.message_octets_max = ByteCount(1000));
    let mut peer = server.greeted();
    assert!(peer.ask("MAIL FROM:<a@sender.example> SIZE=1001", 552).starts_with("552 5.3.4"));
    peer.ask("MAIL FROM:<a@sender.example> SIZE=1000", 250);
}

/// RFC 1870 §6.3: the limit holds for what really comes.
#[test]
fn an_undeclared_size_above_the_limit_is_refused_after_the_dot() {
    let server = Server::start_with(|settings| settings.message_octets_max = ByteCount(100_000));
    let mut peer = server.greeted();
    peer.open_content();
    peer.send("0123456789\r\n".repeat(20_000));
    assert!(peer.ask(".", 552).starts_with("552 5.3.4"));
    peer.ask("NOOP", 250);
    assert!(server.spool.kept().is_empty());
    assert_eq!(server.spool.pieces_ahead(), 0);
}

/// RFC 1870 §6.2. The smallest of our limit and what the customers' servers can take is announced, once all were heard.
#[test]
fn what_no_primary_takes_is_neither_announced_nor_taken() {
    let server = Server::start();
    server.hear_primary(1, Some(1_000), true);
    server.hear_primary(2, Some(5_000), true);
    let mut peer = server.connect();
    assert!(peer.ask("EHLO sender.example", 250).contains("SIZE 67108864"), "one may take any size");
    server.hear_primary(3, Some(2_000), true);
    assert!(peer.ask("EHLO sender.example", 250).contains("SIZE 5000\n"));
    assert!(peer.ask("MAIL FROM:<a@sender.example> SIZE=5001", 552).starts_with("552 5.3.4"));
    peer.ask("MAIL FROM:<a@sender.example> SIZE=5000", 250);
    assert!(peer.ask("RCPT TO:<b@firma.example>", 552).starts_with("552 5.3.4"));
    peer.ask("RCPT TO:<b@verein.example>", 250);
}

#[test]
fn what_one_primary_cannot_take_is_refused_behind_its_content_unless_it_is_for_others_too() {
    let server = Server::start();
    server.hear_primary(1, Some(1_000), true);
    let content = format!("{}\r\n.", "x".repeat(1_000));
    let mut peer = server.greeted();
    peer.open_content();
    assert!(peer.ask(&content, 552).starts_with("552 5.3.4"));
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("RCPT TO:<b@verein.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(&content, 250);
    assert_eq!(server.only_message().message.recipients.len(), 2);
}
