//! Every kind of reply at every place, and what the sender reads.

use super::*;
use proptest::prelude::*;

fn reply(code: u16, text: &str) -> Reply {
    Reply { code, lines: vec![text.to_owned()] }
}

const KNOWN: Facts = Facts { is_handed_on: true, is_well: true, is_believed: true };
const AS_US: Facts = Facts { is_handed_on: false, ..KNOWN };

fn new(is_one_by_one: bool) -> Crossing {
    let mut crossing = Crossing::new(BUDGET);
    crossing.set_one_by_one(is_one_by_one);
    crossing
}

fn open(recipients: usize) -> Crossing {
    let mut crossing = new(false);
    assert_eq!(crossing.handle_recipient(), Step::Begin);
    assert_eq!(crossing.handle_mail(&reply(250, "ok"), KNOWN), None);
    for _ in 0..recipients {
        assert!(matches!(crossing.handle_rcpt(&reply(250, "2.1.5 ok"), KNOWN), Words::Taken(_)));
    }
    crossing
}

#[test]
fn a_yes_and_a_no_of_the_primary_are_the_senders() {
    let mut crossing = open(1);
    let no = reply(550, "5.1.1 nobody");
    assert_eq!(crossing.handle_rcpt(&no, KNOWN), Words::Refused(no));
    assert!(crossing.sends_content(10));
    let taken = reply(250, "2.0.0 queued as 7");
    assert_eq!(crossing.clone().handle_final(&taken, Stage::Final, KNOWN), End::Passed(taken));
    let spam = reply(554, "5.7.1 spam");
    assert_eq!(crossing.handle_final(&spam, Stage::Final, KNOWN), End::Passed(spam));
}

#[test]
fn a_deferral_is_passed_on_only_where_the_primary_knows_the_sender_and_judges_him() {
    for (text, is_his) in [
        ("4.7.1 come again", true),
        ("4.2.0 greylisted for 300 s", true),
        ("4.3.1 disk full", false),
        ("4.2.2 mailbox full", false),
        ("later", false),
    ] {
        let said = reply(451, text);
        let stored = End::Store { is_one_by_one: false };
        for facts in [KNOWN, AS_US] {
            let is_passed = is_his && facts.is_handed_on;
            let mut crossing = open(1);
            let expected = if is_passed { Words::Refused(said.clone()) } else { Words::Ours };
            assert_eq!(crossing.handle_rcpt(&said, facts), expected, "{text}");
            assert_eq!(crossing.sends_content(1), is_passed, "{text}");
            let end = open(1).handle_final(&said, Stage::Final, facts);
            assert_eq!(end, if is_passed { End::Passed(said.clone()) } else { stored.clone() }, "{text}");
        }
    }
    let goodbye = reply(421, "4.7.0 too many connections");
    assert_eq!(open(1).handle_rcpt(&goodbye, KNOWN), Words::Ours, "about the connection");
}

#[test]
fn a_refused_sender_is_refused_only_by_a_server_that_took_others() {
    let no = reply(550, "5.7.1 not from there");
    let mut crossing = new(false);
    assert_eq!(crossing.handle_mail(&no, Facts { is_well: false, ..KNOWN }), Some(Words::Ours));
    assert!(crossing.is_over());
    assert_eq!(crossing.handle_recipient(), Step::Say(Words::Ours));
    let mut crossing = new(false);
    assert_eq!(crossing.handle_mail(&no, KNOWN), Some(Words::Refused(no.clone())));
    assert_eq!(crossing.handle_recipient(), Step::Say(Words::Refused(no)));
    let login = reply(530, "5.7.0 STARTTLS first");
    assert_eq!(new(false).handle_mail(&login, KNOWN), Some(Words::Ours));
    assert_eq!(open(0).handle_rcpt(&login, KNOWN), Words::Ours);
    assert!(matches!(open(1).handle_final(&login, Stage::Data, KNOWN), End::Store { .. }));
}

#[test]
fn a_refusal_that_is_not_believed_yet_is_stored() {
    let no = reply(550, "5.1.1 nobody");
    let mut crossing = open(1);
    assert_eq!(crossing.handle_rcpt(&no, Facts { is_believed: false, ..KNOWN }), Words::Ours);
    assert!(!crossing.sends_content(1));
    // So is one of the whole content: a server set up anew may refuse everything in its first minutes.
    let no = reply(554, "5.7.1 not here");
    let doubted = open(1).handle_final(&no, Stage::Final, Facts { is_believed: false, ..KNOWN });
    assert_eq!(doubted, End::Store { is_one_by_one: false });
    assert_eq!(open(1).handle_final(&no, Stage::Final, KNOWN), End::Passed(no));
}

#[test]
fn one_recipient_to_be_stored_has_the_whole_message_stored_and_the_others_are_still_asked() {
    let mut crossing = open(1);
    assert_eq!(crossing.handle_rcpt(&reply(452, "4.2.2 full"), KNOWN), Words::Ours);
    assert_eq!(crossing.handle_recipient(), Step::Ask);
    assert!(matches!(crossing.handle_rcpt(&reply(550, "5.1.1 no"), KNOWN), Words::Refused(_)));
    assert!(!crossing.sends_content(1));
}

#[test]
fn a_server_that_judges_several_recipients_together_gets_them_one_by_one() {
    let said = reply(550, "5.1.10 recipient not found");
    assert_eq!(open(2).handle_final(&said, Stage::Final, KNOWN), End::Store { is_one_by_one: true });
    assert_eq!(open(1).handle_final(&said, Stage::Final, KNOWN), End::Passed(said));
    let mut crossing = new(true);
    assert_eq!(crossing.handle_mail(&reply(250, "ok"), KNOWN), None);
    let _ = crossing.handle_rcpt(&reply(250, "ok"), KNOWN);
    assert_eq!(crossing.handle_recipient(), Step::Say(Words::Ours));
    assert!(!crossing.sends_content(1));
}

#[test]
fn time_and_octets_are_bounded() {
    let mut crossing = open(1);
    crossing.handle_spent(Duration::from_secs(45));
    assert_eq!(crossing.left(), Duration::from_secs(15));
    crossing.handle_spent(Duration::from_secs(45));
    assert_eq!(crossing.left(), Duration::ZERO);
    assert!(crossing.sends_content(PASS_OCTETS_MAX) && !crossing.sends_content(PASS_OCTETS_MAX + 1));
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let codes =
        proptest::sample::select(vec![200u16, 250, 251, 354, 421, 450, 451, 452, 500, 503, 530, 550, 552, 553, 554]);
    let texts = proptest::sample::select(vec![
        "ok",
        "",
        "2.1.5 ok",
        "4.7.1 greylisted",
        "4.2.2 full",
        "4.5.3 too many",
        "5.1.1 no",
        "5.2.2 full",
        "5.7.1 spam",
        "5.6.7 utf8",
        "4.3.1 disk",
    ]);
    (codes, texts).prop_map(|(code, text)| reply(code, text))
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(is_handed_on, is_well, is_believed)| Facts {
        is_handed_on,
        is_well,
        is_believed,
    })
}

proptest! {
    /// Whatever a primary says: a message whose sender was told "taken" by us is stored, one is passed as taken only by a
    /// 2yz after the dot, and nothing is refused but with the primary's own 4yz or 5yz.
    #[test]
    fn no_mail_is_without_an_owner(
        mail in any_reply(), rcpts in proptest::collection::vec((any_reply(), any_facts()), 1..6),
        last in any_reply(), facts in any_facts(), is_data in any::<bool>(), one_by_one in any::<bool>()
    ) {
        let mut crossing = new(one_by_one);
        let (mut ours, mut theirs) = (0, 0);
        for (rcpt, rcpt_facts) in &rcpts {
            let said = match crossing.handle_recipient() {
                Step::Begin => match crossing.handle_mail(&mail, facts) {
                    None => crossing.handle_rcpt(rcpt, *rcpt_facts),
                    Some(said) => said,
                },
                Step::Ask => crossing.handle_rcpt(rcpt, *rcpt_facts),
                Step::Say(said) => said,
            };
            match said {
                Words::Ours => ours += 1,
                Words::Taken(said) => {
                    prop_assert_eq!(said.class(), 2);
                    theirs += 1;
                }
                Words::Refused(said) => {
                    prop_assert!(said.class() == 5 || (said.class() == 4 && said.code != 421));
                    prop_assert!(said.code != 530);
                }
            }
        }
        let sends = crossing.sends_content(1);
        prop_assert!(!sends || (ours == 0 && theirs > 0), "only what the primary took alone goes on");
        prop_assert!(sends || ours > 0 || theirs == 0, "what it took goes on, unless something of ours has it stored");
        if sends {
            let stage = if is_data { Stage::Data } else { Stage::Final };
            if let End::Passed(said) = crossing.handle_final(&last, stage, facts) {
                prop_assert_eq!(&said, &last);
                match said.class() {
                    2 => prop_assert!(!is_data),
                    5 => prop_assert!(said.code != 530),
                    4 => prop_assert!(facts.is_handed_on && said.code != 421),
                    class => prop_assert!(false, "class {class}"),
                }
            }
        }
    }
}
