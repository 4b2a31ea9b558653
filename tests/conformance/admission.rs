//! Never a relay: every known way to make a server send mail on to somebody else (RFC 2505 §2.11 and later finds).

use crate::support::{Server, Target};

/// What strangers try, after the lists of open-relay testers.
const ATTEMPTS: &[&str] = &[
    "victim@elsewhere.example",
    "victim@sub.firma.example",
    "victim@example",
    "victim@xfirma.example",
    "victim@firma.example.elsewhere.example",
    "victim@[127.0.0.1]",
    "victim@[192.0.2.1]",
    "victim@[IPv6:::1]",
    "victim@mx.example",
    "victim@localhost",
    "@firma.example:victim@elsewhere.example",
    "@mx.example:victim@elsewhere.example",
    "@elsewhere.example:b@firma.example",
    "@a.example,@b.example:victim@elsewhere.example",
    "victim%elsewhere.example@firma.example",
    "victim%elsewhere.example@[127.0.0.1]",
    "elsewhere.example!victim@firma.example",
    "mx.example!elsewhere.example!victim",
    "\"victim@elsewhere.example\"@firma.example",
    "\"victim%elsewhere.example\"@firma.example",
    "\"victim@elsewhere.example\"",
    "\"elsewhere.example!victim\"@firma.example",
    "\"victim\\@elsewhere.example\"@firma.example",
    "victim@elsewhere.example@firma.example",
    "victim@firma.example@elsewhere.example",
    "victim@firma.example,victim@elsewhere.example",
    "victim@elsewhere.example b@firma.example",
    "victim@firma.example\0@elsewhere.example",
    "victim@elsewhere.example%00@firma.example",
    "victim",
    "victim@",
    "@firma.example",
    "",
    "elsewhere.example!victim",
    "victim%elsewhere.example",
    "victim@\u{ff46}irma.example",
];

#[test]
fn no_stranger_is_ever_a_recipient() {
    let server = Server::start();
    for sender in ["<>", "<b@firma.example>", "<postmaster@mx.example>", "<spam@elsewhere.example>"] {
        for attempt in ATTEMPTS {
            let mut peer = server.greeted();
            peer.ask(&format!("MAIL FROM:{sender}"), 250);
            peer.send(format!("RCPT TO:<{attempt}>\r\nDATA\r\n"));
            let reply = peer.hear_any();
            assert!(reply.starts_with('5'), "{attempt} from {sender}: {reply}");
            peer.hear(554);
        }
    }
    assert!(server.spool.kept().is_empty());
}

#[test]
fn a_refused_stranger_does_not_take_the_customer_along() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<victim@elsewhere.example>", 550);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("RCPT TO:<victim@elsewhere.example>", 550);
    peer.ask("DATA", 354);
    peer.ask("x\r\n.", 250);
    let recipients = server.only_message().message.recipients;
    assert_eq!(recipients.len(), 1);
    assert_eq!(recipients[0].mailbox.to_string(), "b@firma.example");
}

#[test]
fn the_refusal_says_that_outgoing_mail_is_not_our_business() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    let reply = peer.ask("RCPT TO:<victim@elsewhere.example>", 550);
    assert!(reply.starts_with("550 5.7.1 ") && reply.contains("outgoing mail"), "{reply}");
}

#[test]
fn a_suspended_customer_keeps_mail_and_a_leaving_one_defers() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@verein.example>", 250);
    assert!(peer.ask("RCPT TO:<b@leaving.example>", 450).starts_with("450 4.3.2"));
}

/// A TLS handshake need not have a line end in it; without a word both sides would wait for the other.
#[test]
fn tls_from_the_first_octet_on_is_told_how_it_begins_here() {
    let mut peer = Server::start().connect();
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(peer.hear(554).contains("STARTTLS"));
    assert!(peer.is_closed());
}

#[test]
fn browsers_and_proxies_are_shown_the_door() {
    let target = Target::start();
    for request in ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT mx.example:25 HTTP/1.1"] {
        let mut peer = target.connect();
        peer.send(format!("{request}\r\nHost: mx.example\r\n\r\nEHLO a.example\r\n"));
        let reply = peer.hear_any();
        assert!(reply.starts_with('5'), "{reply}");
        assert!(peer.is_closed(), "{request}");
    }
}
