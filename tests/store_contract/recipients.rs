//! Lists of recipients, and what servers said of them.

use pulsemx::base::AccountId;
use pulsemx::recipient::model::{ACCEPTED_FOR, REFUSED_FOR};
use pulsemx::recipient::{CallOut, Learned, ListEntry, NewList, Policy, RecipientError, RecipientRows, Unknown};

use crate::engine::{Engine, account, at, change, for_each_engine, name};

for_each_engine! {
    lists_and_settings_survive_a_restart,
    a_new_list_takes_the_place_of_the_old_one,
    what_a_server_said_of_nobodys_address_is_kept,
    what_servers_said_is_kept_until_it_is_no_longer_believed,
    what_is_known_goes_with_the_domain_and_with_the_account,
    entries_come_in_pages,
    strangers_to_us_leave_no_rows,
}

fn list(entries: &[&str]) -> NewList {
    NewList { entries: entries.iter().map(|text| text.parse().unwrap()).collect(), hash_key: None }
}

fn texts(entries: &[ListEntry]) -> Vec<String> {
    entries.iter().map(ToString::to_string).collect()
}

fn learned(account: AccountId, text: &str, is_accepted: bool, second: i64) -> Learned {
    Learned { account, domain: name("firma.example"), name: text.to_owned(), is_accepted, at: at(second) }
}

async fn lists_and_settings_survive_a_restart(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let domain = name("firma.example");
    let policy = Policy { unknown: Unknown::Defer, separator: Some('+') };
    let hash = format!("hmac-sha256:{}", "0f".repeat(32));
    let mut new = list(&["anna", "sales-*", &hash]);
    new.hash_key = Some(b"geheim".to_vec());
    engine.store().set_recipient_policy(firma, domain.clone(), policy.clone(), change(1)).await.unwrap();
    engine.store().replace_list(firma, domain.clone(), new, change(2)).await.unwrap();
    engine.store().learn(vec![learned(firma, "bernd", true, 3)]).await.unwrap();
    engine.restart();
    let rows = engine.store().load_recipients(at(4)).await.unwrap();
    let [(row, entries)] = rows.domains.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.account, &row.domain, &row.policy), (firma, &domain, &policy));
    assert_eq!((row.list_at, row.hash_key.as_deref()), (Some(at(2)), Some(b"geheim".as_slice())));
    assert_eq!(texts(entries), ["anna", hash.as_str(), "sales-*"]);
    assert_eq!(rows.learned, [learned(firma, "bernd", true, 3)]);
    let audit = engine.store().audit(Some(firma), 10).await.unwrap();
    let told: Vec<&str> = audit.iter().rev().skip(1).map(|row| row.what.as_str()).collect();
    assert_eq!(told, ["recipients.set firma.example defer +", "recipients.replace firma.example 3"]);
}

async fn a_new_list_takes_the_place_of_the_old_one(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let domain = name("firma.example");
    store.replace_list(firma, domain.clone(), list(&["anna", "bernd"]), change(1)).await.unwrap();
    store.replace_list(firma, domain.clone(), list(&["carla"]), change(2)).await.unwrap();
    let entries = store.list_entries(firma, domain.clone(), None, 10).await.unwrap();
    assert_eq!(texts(&entries), ["carla"]);
    store.forget_list(firma, domain.clone(), change(3)).await.unwrap();
    let rows = store.load_recipients(at(4)).await.unwrap();
    assert_eq!((rows.domains[0].0.list_at, rows.domains[0].1.len()), (None, 0));
}

async fn what_a_server_said_of_nobodys_address_is_kept(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let said = |takes_everybody, second| CallOut { takes_everybody, at: at(second) };
    engine.store().set_call_out(firma, name("firma.example"), said(true, 1)).await.unwrap();
    engine.store().replace_list(firma, name("firma.example"), list(&["anna"]), change(2)).await.unwrap();
    engine.store().forget_list(firma, name("firma.example"), change(3)).await.unwrap();
    engine.restart();
    let rows = engine.store().load_recipients(at(4)).await.unwrap();
    assert_eq!(rows.domains[0].0.call_out, Some(said(true, 1)), "whatever becomes of lists");
    engine.store().set_call_out(firma, name("firma.example"), said(false, 5)).await.unwrap();
    let rows = engine.store().load_recipients(at(6)).await.unwrap();
    assert_eq!(rows.domains[0].0.call_out, Some(said(false, 5)));
    let gone = engine.store().set_call_out(AccountId(99), name("x.example"), said(true, 7)).await;
    assert!(matches!(gone, Err(RecipientError::NoAccount)), "{gone:?}");
}

async fn what_servers_said_is_kept_until_it_is_no_longer_believed(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let said = vec![learned(firma, "anna", false, 0), learned(firma, "bernd", false, 0)];
    store.learn(said).await.unwrap();
    store.learn(vec![learned(firma, "anna", true, 1)]).await.unwrap();
    let names = |rows: RecipientRows| rows.learned.iter().map(|l| (l.name.clone(), l.is_accepted)).collect::<Vec<_>>();
    let anna = ("anna".to_owned(), true);
    let just_before = at(0) + REFUSED_FOR - std::time::Duration::from_secs(1);
    assert_eq!(names(store.load_recipients(just_before).await.unwrap()), [anna.clone(), ("bernd".to_owned(), false)]);
    assert_eq!(names(store.load_recipients(at(0) + REFUSED_FOR).await.unwrap()), [anna]);
    assert_eq!(store.purge_learned(at(0) + REFUSED_FOR).await.unwrap(), 1);
    assert_eq!(store.purge_learned(at(1) + ACCEPTED_FOR).await.unwrap(), 1);
}

async fn what_is_known_goes_with_the_domain_and_with_the_account(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let (other, others) = account(store, "other", 2).await;
    let domain = name("firma.example");
    store.replace_list(firma, domain.clone(), list(&["anna"]), change(1)).await.unwrap();
    store.learn(vec![learned(firma, "anna", true, 1)]).await.unwrap();
    store.remove_domain(firma, domain.clone(), change(2)).await.unwrap();
    assert_eq!(store.load_recipients(at(3)).await.unwrap(), RecipientRows::default());
    store.add_domain(other, domain.clone(), vec![others], change(4)).await.unwrap();
    store.replace_list(other, domain.clone(), list(&["bernd"]), change(5)).await.unwrap();
    store.learn(vec![learned(other, "bernd", true, 5)]).await.unwrap();
    store.add_domain(firma, name("neu.example"), vec![endpoint], change(6)).await.unwrap();
    store.remove_account(other, change(7)).await.unwrap();
    assert_eq!(store.load_recipients(at(8)).await.unwrap(), RecipientRows::default());
}

async fn entries_come_in_pages(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let domain = name("firma.example");
    store.replace_list(firma, domain.clone(), list(&["d", "b", "a", "c"]), change(1)).await.unwrap();
    let first = store.list_entries(firma, domain.clone(), None, 3).await.unwrap();
    assert_eq!(texts(&first), ["a", "b", "c"]);
    let rest = store.list_entries(firma, domain, Some("c".to_owned()), 3).await.unwrap();
    assert_eq!(texts(&rest), ["d"]);
}

async fn strangers_to_us_leave_no_rows(engine: Engine) {
    let store = engine.store();
    let nobody = AccountId(999);
    let refused = store.replace_list(nobody, name("firma.example"), list(&["a"]), change(1)).await;
    assert!(matches!(refused, Err(RecipientError::NoAccount)), "{refused:?}");
    let policy = store.set_recipient_policy(nobody, name("a.example"), Policy::default(), change(1)).await;
    assert!(matches!(policy, Err(RecipientError::NoAccount)));
    store.learn(vec![learned(nobody, "anna", true, 1)]).await.unwrap();
    assert_eq!(store.load_recipients(at(1)).await.unwrap(), RecipientRows::default());
}
