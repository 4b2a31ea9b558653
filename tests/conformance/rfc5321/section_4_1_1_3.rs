//! RFC 5321 §4.1.1.3: RCPT.

use crate::support::Server;

#[test]
fn a_customers_mailbox_is_taken_in_any_case_of_the_domain() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    for path in ["Otto.Normal+tag@FIRMA.Example", "b@firma.example.", "\"quoted string\"@firma.example"] {
        assert!(peer.ask(&format!("RCPT TO:<{path}>"), 250).starts_with("250 2.1.5"), "{path}");
    }
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    let stored: Vec<String> =
        server.only_message().message.recipients.iter().map(|recipient| recipient.mailbox.to_string()).collect();
    assert_eq!(
        stored,
        ["Otto.Normal+tag@FIRMA.Example", "b@firma.example", "\"quoted string\"@firma.example"],
        "addresses keep their spelling"
    );
}

#[test]
fn a_recipient_named_twice_is_stored_once() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("RCPT TO:<b@Firma.Example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.recipients.len(), 1);
}

#[test]
fn one_message_may_go_to_two_customers() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("RCPT TO:<c@verein.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.spool.told(), [crate::base::AccountId(1), crate::base::AccountId(2)]);
}

#[test]
fn address_literals_are_nobodys_domain_not_even_our_own_address() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@[192.0.2.1]>", 250);
    for literal in ["[127.0.0.1]", "[IPv6:::1]", "[192.0.2.1]"] {
        peer.ask(&format!("RCPT TO:<postmaster@{literal}>"), 550);
    }
}

#[test]
fn quoted_pairs_keep_their_spelling_and_hide_no_route() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<\"ot\\to \\\"x\\\"\"@firma.example>", 250);
    for hidden in ["\"b\\@elsewhere.example\"", "\"b\\%elsewhere.example\"", "\"elsewhere.example\\!b\""] {
        peer.ask(&format!("RCPT TO:<{hidden}@firma.example>"), 550);
    }
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.recipients[0].mailbox.to_string(), "\"ot\\to \\\"x\\\"\"@firma.example");
}
