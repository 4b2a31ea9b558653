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
