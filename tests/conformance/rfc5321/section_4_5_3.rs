//! RFC 5321 §4.5.3: sizes. Its timeouts are tested in virtual time beside `src/smtp/connection/driver.rs` and in
//! `src/smtp/pace.rs` (RFC 5321 §4.5.3.2.5, RFC 5321 §4.5.3.2.7).

use crate::support::{Server, Target, recipient};

/// RFC 5321 §4.5.3.1.1, and the addresses beyond it that exist.
#[test]
fn local_parts_of_64_octets_and_of_254_are_taken() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    for length in [64, 254] {
        peer.ask(&format!("RCPT TO:<{}@firma.example>", "x".repeat(length)), 250);
    }
    assert!(peer.ask(&format!("RCPT TO:<{}@firma.example>", "x".repeat(255)), 501).starts_with("501 5.1.3"));
}

/// RFC 5321 §4.5.3.1.2.
#[test]
fn a_domain_of_more_than_255_octets_is_refused() {
    let mut peer = Target::start().connect();
    peer.ask(&format!("EHLO {}", "a.".repeat(150)), 501);
}

/// RFC 5321 §4.5.3.1.3.
#[test]
fn a_path_without_end_is_refused() {
    let mut peer = Server::start().greeted();
    peer.ask(&format!("MAIL FROM:<{}@sender.example>", "x".repeat(3000)), 501);
}

/// RFC 5321 §4.5.3.1.4.
#[test]
fn a_command_of_512_octets_is_read_and_one_without_end_refused() {
    let mut peer = Target::start().greeted();
    peer.ask(&format!("NOOP {}", "x".repeat(505)), 250);
    peer.ask(&format!("NOOP {}", "x".repeat(100_000)), 500);
    peer.ask("NOOP", 250);
}

/// What follows a bare LF is no command (RFC 5321 §2.3.8), however long the line before it; a CR of its own packet ends it.
#[test]
fn a_command_without_end_does_not_smuggle_another_one_behind_a_bare_lf() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.send(format!("NOOP {}\nMAIL FROM:<a@sender.example>\r\n", "x".repeat(100_000)));
    peer.hear(500);
    assert!(peer.is_closed());
    let mut peer = server.greeted();
    peer.send(format!("NOOP {}\r", "x".repeat(100_000)));
    peer.send("\nNOOP\r\n");
    peer.hear(500);
    peer.hear(250);
}

/// RFC 5321 §4.5.3.1.6.
#[test]
fn a_text_line_of_any_length_is_passed_on() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.open_content();
    peer.ask(&format!("{}\r\n.", "x".repeat(50_000)), 250);
    assert_eq!(server.only_message().content.len(), 50_002);
}

/// RFC 5321 §4.5.3.1.8.
#[test]
fn a_hundred_recipients_are_taken() {
    let mut peer = Target::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    let recipient = recipient();
    for n in 0..100 {
        peer.ask(&format!("RCPT TO:<x{n}{recipient}>"), 250);
    }
}

/// RFC 5321 §4.5.3.1.10.
#[test]
fn recipients_beyond_the_limit_are_put_off_to_the_next_transaction() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    let many: String = (0..1001).map(|n| format!("RCPT TO:<x{n}@firma.example>\r\n")).collect();
    peer.send(many);
    (0..1000).for_each(|_| drop(peer.hear(250)));
    assert!(peer.hear(452).starts_with("452 4.5.3"));
    peer.ask("DATA", 354);
    peer.ask(".", 250);
}

/// Twenty errors end a session, those before the last accepted message forgiven: a long session of a large sender has
/// some stale addresses among its messages.
#[test]
fn errors_are_counted_from_the_last_message_on() {
    let server = Server::start();
    let mut peer = server.greeted();
    for _ in 0..3 {
        (0..15).for_each(|_| drop(peer.ask("XYZ", 500)));
        peer.open_content();
        peer.ask(".", 250);
    }
    (0..20).for_each(|_| drop(peer.ask("XYZ", 500)));
    peer.hear(421);
    assert!(peer.is_closed());
}
