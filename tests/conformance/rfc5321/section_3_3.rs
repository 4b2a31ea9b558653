//! RFC 5321 §3.3: mail transactions.

use crate::base::AccountId;
use crate::support::fakes::Mood;
use crate::support::{Server, Target, recipient};

#[test]
fn a_transaction_ends_with_its_message() {
    let mut peer = Target::start().greeted();
    peer.open_content();
    peer.ask("Subject: x\r\n\r\nx\r\n.", 250);
    peer.ask(&format!("RCPT TO:<{}>", recipient()), 503);
    peer.ask("DATA", 503);
}

#[test]
fn mail_within_a_transaction_is_out_of_order() {
    let mut peer = Target::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 503);
}

#[test]
fn a_blank_before_the_path_is_forgiven() {
    let mut peer = Server::start().greeted();
    peer.ask("MAIL FROM: <a@sender.example>", 250);
    peer.ask("RCPT TO: <b@firma.example>", 250);
}

#[test]
fn delivery_is_told_only_of_what_was_stored() {
    let server = Server::start();
    let mut peer = server.greeted();
    for (mood, code) in
        [(Mood::Fails, 451), (Mood::DoubtsAndLoses, 451), (Mood::Works, 250), (Mood::DoubtsButStores, 250)]
    {
        server.spool.set_mood(mood);
        let before = server.spool.told().len();
        peer.open_content();
        let reply = peer.ask("x\r\n.", code);
        assert_eq!(server.spool.told().len() - before, usize::from(code == 250), "{mood:?}: {reply}");
    }
    assert_eq!(server.spool.told(), [AccountId(1), AccountId(1)]);
}
