//! What is known of mailboxes, from lists, from servers, and from their age.

use super::*;
use crate::base::Mailbox;
use crate::recipient::list;
use crate::recipient::model::{ACCEPTED_FOR, REFUSED_FOR};

const FIRMA: AccountId = AccountId(1);

fn domain() -> DomainName {
    DomainName::parse("firma.example").unwrap()
}

/// Seconds after the list was uploaded.
fn at(second: i64) -> WallTime {
    WallTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn table(list: &str, policy: Policy) -> Table {
    let mut table = Table::default();
    let row =
        |list_at, hash_key| DomainRow { account: FIRMA, domain: domain(), policy, list_at, hash_key, call_out: None };
    if list.is_empty() {
        table.set_domain(row(None, None), []);
    } else {
        let lists = list::parse(list, &|_| true, Some(&domain()), Some(b"geheim")).unwrap();
        let list = lists[&domain()].clone();
        table.set_domain(row(Some(at(0)), list.hash_key), list.entries);
    }
    table
}

fn local(name: &str) -> LocalPart {
    Mailbox::parse(&format!("{name}@x.example"), true).unwrap().local_part
}

fn known(table: &Table, name: &str, second: i64) -> Knowledge {
    table.knowledge(FIRMA, &domain(), &local(name), at(second))
}

fn learned(name: &str, is_accepted: bool, second: i64) -> Learned {
    Learned { account: FIRMA, domain: domain(), name: name.to_owned(), is_accepted, at: at(second) }
}

#[test]
fn the_list_is_believed_first_and_for_a_week() {
    let mut table = table(
        "anna
sales-*
",
        Policy::default(),
    );
    let week = i64::try_from(LIST_FRESH_FOR.as_secs()).unwrap();
    assert_eq!(known(&table, "ANNA", 1), Knowledge::Listed);
    assert_eq!(known(&table, "\"anna\"", 1), Knowledge::Listed);
    assert_eq!(known(&table, "sales-nord", 1), Knowledge::Covered);
    assert_eq!(known(&table, "bernd", week - 1), Knowledge::Unlisted);
    assert_eq!(known(&table, "bernd", week), Knowledge::Doubtful);
    table.learn(&learned("anna", false, 5));
    assert_eq!(known(&table, "anna", 6), Knowledge::Listed, "a refusal marks it and does not strike it off");
}

#[test]
fn what_the_server_said_is_believed_for_a_while() {
    let mut table = table(
        "anna
*
",
        Policy::default(),
    );
    assert!(table.learn(&learned("new", true, 0)));
    assert!(table.learn(&learned("gone", false, 0)));
    assert!(!table.learn(&learned("new", true, 60)), "the same again is not worth a row");
    assert!(table.learn(&learned("new", true, 86_400)));
    let (accepted, refused) = (ACCEPTED_FOR.as_secs(), REFUSED_FOR.as_secs());
    let (accepted, refused) = (i64::try_from(accepted).unwrap(), i64::try_from(refused).unwrap());
    assert_eq!(known(&table, "new", 86_400 + accepted - 1), Knowledge::Accepted);
    assert_eq!(known(&table, "gone", refused - 1), Knowledge::Refused);
    assert_eq!(known(&table, "gone", refused), Knowledge::Covered);
    table.sweep(at(86_400 + accepted));
    assert_eq!(table.names.len(), 1);
    assert_eq!(known(&table, "anna", 86_400 + accepted), Knowledge::Listed);
}

#[test]
fn a_server_that_takes_everything_teaches_so_much_and_no_more() {
    let mut table = Table::default();
    for name in 0..LEARNED_PER_ACCOUNT_MAX + 10 {
        table.learn(&learned(&format!("n{name}"), true, 0));
    }
    assert_eq!(table.names.len(), LEARNED_PER_ACCOUNT_MAX);
    assert!(table.learn(&learned("n1", false, 1)), "what is known may change");
    assert!(table.learn(&Learned { account: AccountId(2), ..learned("anna", true, 0) }), "others learn on");
    table.sweep(at(0) + REFUSED_FOR + std::time::Duration::from_secs(1));
    assert!(table.learn(&learned("new", true, 1)), "n1 made room");
}

#[test]
fn the_yes_of_a_server_that_takes_everybody_tells_nothing() {
    let day = i64::try_from(CALL_OUT_EVERY.as_secs()).unwrap();
    let mut table = table("", Policy::default());
    let is_due = |table: &Table, second| table.wants_call_out(FIRMA, &domain(), at(second));
    let says = |second, takes_everybody| CallOut { takes_everybody, at: at(second) };
    table.learn(&learned("anna", true, 0));
    assert!(is_due(&table, 0));
    table.handle_calling(FIRMA, domain(), at(0));
    assert!(!is_due(&table, 599) && is_due(&table, 600), "an answer that told nothing");
    table.set_call_out(FIRMA, domain(), says(600, true));
    assert!(!is_due(&table, 600 + day - 1) && is_due(&table, 600 + day));
    assert_eq!(known(&table, "anna", 601), Knowledge::Unknown);
    assert!(!table.learn(&learned("bernd", true, 601)), "nothing is learned from it");
    assert!(table.learn(&learned("carla", false, 601)), "but a no is a no");
    assert_eq!((known(&table, "bernd", 602), known(&table, "carla", 602)), (Knowledge::Unknown, Knowledge::Refused));
    table.learn(&learned("carla", true, 603));
    assert_eq!(known(&table, "carla", 604), Knowledge::Unknown, "until it says otherwise");
    table.set_call_out(FIRMA, domain(), says(700, false));
    assert_eq!(known(&table, "anna", 701), Knowledge::Accepted);
    assert!(table.learn(&learned("bernd", true, 701)));
}

#[test]
fn a_list_is_stale_after_a_week_where_it_would_refuse_somebody() {
    let week = i64::try_from(LIST_FRESH_FOR.as_secs()).unwrap();
    let by_list = table("anna\n", Policy::default());
    assert_eq!(by_list.stale_lists(at(week - 1)), []);
    assert_eq!(by_list.stale_lists(at(week)), [(FIRMA, domain(), at(0))]);
    let takes = table("anna\n", Policy { unknown: Unknown::Accept, ..Policy::default() });
    assert_eq!((takes.stale_lists(at(week)), table("", Policy::default()).stale_lists(at(week))), (vec![], vec![]));
}

#[test]
fn details_are_cut_off_where_the_customer_says_so() {
    let plain = table(
        "anna
",
        Policy::default(),
    );
    assert_eq!(known(&plain, "anna+news", 1), Knowledge::Unlisted);
    let cut = table(
        "anna
",
        Policy { separator: Some('+'), ..Policy::default() },
    );
    assert_eq!(known(&cut, "Anna+News", 1), Knowledge::Listed);
    assert_eq!(known(&cut, "+news", 1), Knowledge::Unlisted);
}

#[test]
fn a_list_of_hashes_tells_the_same_without_the_names() {
    let hash = ListEntry::Hash(hashed(b"geheim", "anna", &domain()));
    let table = table(
        &format!(
            "{hash}
"
        ),
        Policy::default(),
    );
    assert_eq!(known(&table, "Anna", 1), Knowledge::Listed);
    assert_eq!(known(&table, "bernd", 1), Knowledge::Unlisted);
}

#[test]
fn another_account_and_another_list_know_nothing_of_this_one() {
    let mut table = table(
        "anna
",
        Policy::default(),
    );
    table.learn(&learned("bernd", true, 0));
    assert_eq!(table.knowledge(AccountId(2), &domain(), &local("anna"), at(1)), Knowledge::Unknown);
    let row = DomainRow {
        account: FIRMA,
        domain: domain(),
        policy: Policy::default(),
        list_at: Some(at(1)),
        hash_key: None,
        call_out: None,
    };
    table.set_domain(row, [ListEntry::Name("carla".to_owned())]);
    assert_eq!(known(&table, "anna", 2), Knowledge::Unlisted);
    assert_eq!(known(&table, "bernd", 2), Knowledge::Accepted);
    assert_eq!((known(&table, "carla", 2), table.names.len()), (Knowledge::Listed, 2));
    table.forget(FIRMA, &domain());
    assert_eq!(known(&table, "carla", 2), Knowledge::Unknown);
}

#[test]
fn strangers_are_judged_by_list_age_choice_and_presence() {
    use Judgement::{Accept, Defer, Reject};
    let week = i64::try_from(LIST_FRESH_FOR.as_secs()).unwrap();
    let judged =
        |table: &Table, is_there, second| table.judge(FIRMA, &domain(), &local("stranger"), is_there, at(second));
    let listed = table(
        "anna
",
        Policy::default(),
    );
    assert_eq!((judged(&listed, false, 1), judged(&listed, false, week)), (Reject, Defer));
    assert_eq!(judged(&listed, true, 1), Accept, "a server that is there judges itself");
    assert_eq!(judged(&table("", Policy::default()), false, 1), Accept);
    for (unknown, judgement) in [(Unknown::Accept, Accept), (Unknown::Defer, Defer), (Unknown::Reject, Reject)] {
        let policy = Policy { unknown, ..Policy::default() };
        assert_eq!(
            judged(
                &table(
                    "anna
",
                    policy.clone()
                ),
                false,
                1
            ),
            judgement
        );
        assert_eq!(judged(&table("", policy), false, 1), judgement);
    }
    for (rule, judgement) in [(WithoutList::Accept, Accept), (WithoutList::Defer, Defer), (WithoutList::Reject, Reject)]
    {
        let unlisted = table("", Policy::default()).without_list(rule);
        assert_eq!((judged(&unlisted, false, 1), judged(&unlisted, true, 1)), (judgement, Accept), "{rule:?}");
        let chosen = table("", Policy { unknown: Unknown::Accept, ..Policy::default() }).without_list(rule);
        assert_eq!(judged(&chosen, false, 1), Accept, "the owner's choice is above it");
        let listed = table("anna\n", Policy::default()).without_list(rule);
        assert_eq!((judged(&listed, false, 1), judged(&listed, false, week)), (Reject, Defer), "a list holds");
    }
    let mut refused = table("", Policy::default());
    refused.learn(&learned("stranger", false, 0));
    assert_eq!((judged(&refused, false, 1), judged(&refused, true, 1)), (Reject, Reject));
}

#[test]
fn postmaster_and_abuse_have_their_mail_whatever_the_list_says() {
    let table = table(
        "anna
",
        Policy { unknown: Unknown::Reject, ..Policy::default() },
    );
    for name in ["postmaster", "Postmaster", "\"abuse\""] {
        assert_eq!(table.judge(FIRMA, &domain(), &local(name), false, at(1)), Judgement::Accept);
    }
}
