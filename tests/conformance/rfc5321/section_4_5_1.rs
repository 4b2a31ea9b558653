//! RFC 5321 §4.5.1: the least a server does, the postmaster's mailbox among it.

use crate::base::Mailbox;
use crate::support::{Server, Target};

#[test]
fn postmaster_without_a_domain_reaches_the_operator() {
    let postmaster = Mailbox::parse("chief@firma.example", false).unwrap();
    let server = Server::start_with(|settings| settings.postmaster = Some(postmaster.clone()));
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<PostMaster>", 250);
    peer.ask("RCPT TO:<Abuse@mx.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.recipients[0].mailbox, postmaster);
}

#[test]
fn postmaster_without_a_mailbox_is_taken_and_kept_for_the_operator() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<pOSTMASTER>", 250);
    peer.ask("RCPT TO:<postmaster@MX.example>", 250);
    peer.ask("RCPT TO:<abuse@mx.example>", 250);
    peer.ask("RCPT TO:<somebody@mx.example>", 550);
    peer.ask("DATA", 354);
    assert!(peer.ask(".", 250).ends_with("kept for the postmaster of mx.example"));
    let recipients = server.only_message().message.recipients;
    let stored: Vec<String> =
        recipients.iter().map(|recipient| format!("{} {}", recipient.account.0, recipient.mailbox)).collect();
    assert_eq!(stored, ["0 postmaster@mx.example", "0 abuse@mx.example"]);
}

#[test]
fn a_mailbox_named_for_the_postmaster_that_we_do_not_serve_is_a_deferral() {
    let elsewhere = Mailbox::parse("chief@elsewhere.example", false).unwrap();
    let mut peer = Server::start_with(|settings| settings.postmaster = Some(elsewhere)).greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    assert!(peer.ask("RCPT TO:<Postmaster>", 450).starts_with("450 4.2.1"));
}

#[test]
fn postmaster_and_abuse_of_a_customer_are_taken() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<postmaster@firma.example>", 250);
    peer.ask("RCPT TO:<abuse@firma.example>", 250);
}

#[test]
fn the_commands_of_every_server_are_there() {
    let mut peer = Target::start().connect();
    peer.ask("HELO sender.example", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RSET", 250);
    peer.ask("NOOP", 250);
    peer.ask("VRFY someone", 252);
    peer.ask("QUIT", 221);
}
