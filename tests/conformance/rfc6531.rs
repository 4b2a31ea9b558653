//! RFC 6531: SMTPUTF8.

use crate::support::Server;

/// RFC 6531 §3.4.
#[test]
fn an_international_address_is_taken_with_the_parameter() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<jürgen@sender.example> SMTPUTF8", 250);
    peer.ask("RCPT TO:<jörg@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask("x\r\n.", 250);
    let message = server.only_message().message;
    assert!(message.smtputf8);
    assert_eq!(message.recipients[0].mailbox.to_string(), "jörg@firma.example");
    // RFC 6531 §4.3.
    assert!(String::from_utf8(message.trace.to_vec()).unwrap().contains(" with UTF8SMTP "));
}

/// RFC 6531 §3.2, RFC 5890 §2.3.2.1: a domain is written in U-labels; letters that only look like one are none.
#[test]
fn a_look_alike_of_a_customers_domain_is_not_his() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example> SMTPUTF8", 250);
    for domain in ["\u{ff46}irma.example", "fir\u{ad}ma.example", "firma\u{3002}example", "firm\u{430}.example"] {
        peer.send(format!("RCPT TO:<b@{domain}>\r\n"));
        assert!(peer.hear_any().starts_with('5'), "{domain}");
    }
}

/// RFC 6531 §3.5.
#[test]
fn an_international_address_without_the_parameter_is_refused() {
    let mut peer = Server::start().greeted();
    assert!(peer.ask("MAIL FROM:<jürgen@sender.example>", 553).starts_with("553 5.6.7"));
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    assert!(peer.ask("RCPT TO:<jörg@firma.example>", 553).starts_with("553 5.6.7"));
}

/// RFC 6531 §3.5: mail that needs SMTPUTF8 would wait for a server that never takes it. None of this is a sign of a hunt
/// for addresses, so none of it is slowed.
#[test]
fn mail_that_needs_the_extension_is_refused_for_a_primary_known_to_lack_it() {
    let server = Server::start();
    server.hear_primary(1, None, false);
    server.hear_primary(2, None, true);
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example> SMTPUTF8", 250);
    (0..10).for_each(|n| assert!(peer.ask(&format!("RCPT TO:<b{n}@firma.example>"), 553).starts_with("553 5.6.7")));
    peer.ask("RCPT TO:<b@verein.example>", 250);
    peer.ask("RSET", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
}
