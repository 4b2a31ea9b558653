//! Machines that pass on mail to one customer.

use super::*;
use crate::account::Preferences;

/// The peer of the tests, 192.0.2.1, passes on mail to firma.example.
fn forwarder() -> Talk {
    let mut talk = talk();
    let chosen = Preferences { forwarders: vec!["192.0.2.0/24".parse().unwrap()], ..Preferences::default() };
    let directory = Directory::clone(&talk.world.directory);
    talk.world.directory = Arc::new(directory.with_preferences(HashMap::from([(AccountId(1), chosen)])));
    talk.greeted()
}

fn transaction(recipients: &[&str]) -> String {
    let recipients: String = recipients.iter().map(|to| format!("RCPT TO:<x@{to}>\r\n")).collect();
    format!("MAIL FROM:<>\r\n{recipients}DATA\r\n")
}

#[test]
fn a_forwarder_brings_its_customer_any_number_and_others_what_a_stranger_may() {
    let mut talk = forwarder();
    talk.world.is_spent.set(true);
    assert_eq!(talk.say(&transaction(&["firma.example"])), [250, 250, 354]);
    assert_eq!(talk.say("x\r\n.\r\n"), [250]);
    assert_eq!(*talk.world.deeds.borrow(), []);
    assert_eq!(talk.say("MAIL FROM:<>\r\nRCPT TO:<x@verein.example>\r\nRSET\r\n"), [250, 450, 250]);
    let mut stranger = self::talk().greeted();
    stranger.world.is_spent.set(true);
    assert_eq!(stranger.say("MAIL FROM:<>\r\n"), [450]);
}

#[test]
fn what_also_goes_to_others_is_counted() {
    let mut talk = forwarder();
    assert_eq!(talk.say(&transaction(&["firma.example", "verein.example"])), [250, 250, 250, 354]);
    assert_eq!(*talk.world.deeds.borrow(), [Deed::Recipient, Deed::Message]);
}

#[test]
fn refused_recipients_slow_a_forwarder_only_where_it_is_a_stranger() {
    let mut talk = forwarder();
    talk.say("MAIL FROM:<>\r\n");
    assert_eq!(talk.say(&"RCPT TO:<nobody@firma.example>\r\n".repeat(10)), [550; 10]);
    assert!(talk.paused.is_empty() && talk.world.deeds.borrow().is_empty());
    assert_eq!(talk.say(&"RCPT TO:<nobody@verein.example>\r\n".repeat(6)), [550; 6]);
    assert_eq!(talk.paused.len(), 1);
}

#[test]
fn a_list_of_bad_senders_does_not_keep_a_forwarder_from_its_customer() {
    let mut talk = forwarder();
    talk.world.state.set(Some(LineState::Online));
    talk.session.handle_listed();
    let asked = "MAIL FROM:<a@b.example>\r\nRCPT TO:<b@firma.example>\r\nRCPT TO:<b@verein.example>\r\n";
    assert_eq!(talk.say(asked), [250, 250, 451]);
}

#[test]
fn a_forwarder_has_no_further_rights() {
    let mut talk = forwarder();
    talk.say("MAIL FROM:<a@b.example>\r\n");
    let tries = ["elsewhere.example", "sub.firma.example", "firma.example.elsewhere.example"];
    for domain in tries {
        assert_eq!(talk.say(&format!("RCPT TO:<x@{domain}>\r\n")), [550], "{domain}");
    }
    assert_eq!(talk.say("RCPT TO:<x%elsewhere.example@firma.example>\r\n"), [550]);
    assert_eq!(talk.say("RSET\r\nETRN firma.example\r\n"), [250, 459]);
}
