//! What a person finds among stored messages: by state, address and age, page by page, within bounds.

use pulsemx::base::{AccountId, ReversePath};
use pulsemx::spool::search::LOOKED_AT_MAX;
use pulsemx::spool::{ClaimQuery, NewMessage, Outcome, Report, Ruling, SearchPage, SearchQuery, StateFilter, Words};

use crate::engine::{
    Engine, account, at, change, deferred, delivered, for_each_engine, id, message, query, refused, spool_id,
};

for_each_engine! {
    a_search_finds_by_sender_recipient_and_state,
    a_search_finds_by_age_and_goes_on_where_it_ended,
    a_search_over_many_stops_and_goes_on,
    a_look_at_an_account_is_in_its_audit_log,
}

fn sent(number: i64, from: &str, to: &[(AccountId, &str)]) -> NewMessage {
    NewMessage { reverse_path: ReversePath::parse(from, true).unwrap(), ..message(number, to) }
}

fn asked(account: AccountId, filter: StateFilter, typed: &str) -> SearchQuery {
    let words = Words::parse(typed);
    SearchQuery { account, filter, words, accepted_from: None, accepted_until: None, after: None, limit: 100 }
}

fn ids(page: &SearchPage) -> Vec<i64> {
    page.rows.iter().map(|row| row.id.as_i64()).collect()
}

async fn a_search_finds_by_sender_recipient_and_state(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    let other = account(store, "other", 2).await.0;
    for mail in [
        sent(1, "shop@News.example", &[(firma, "info@firma.example")]),
        sent(2, "shop@news.example", &[(firma, "chef@firma.example"), (firma, "info@firma.example")]),
        sent(3, "", &[(firma, "info@firma.example")]),
        sent(4, "shop@news.example", &[(other, "b@other.example")]),
        sent(5, "jörg@bücher.example", &[(firma, "chef@firma.example"), (other, "info@other.example")]),
        sent(6, "xshop@news.example", &[(firma, "info@firma.example")]),
    ] {
        store.intake_commit(mail).await.unwrap();
    }
    let claimed = store.claim(ClaimQuery { messages_max: 3, ..query(firma, 3) }).await.unwrap();
    assert_eq!(claimed.len(), 3);
    let outcomes: [Vec<(u32, Outcome)>; 3] =
        [vec![(0, delivered())], vec![(0, delivered()), (1, refused())], vec![(0, deferred(99))]];
    for (number, outcomes) in (1..).zip(outcomes) {
        store.report(vec![Report { id: id(number), outcomes, via: None }], at(9)).await.unwrap();
    }
    assert_eq!(store.rule(id(6), Ruling::Hold, change(10)).await.unwrap(), 1);
    for (filter, typed, found) in [
        (StateFilter::Any, "", vec![1, 2, 3, 5, 6]),
        (StateFilter::Held, "", vec![2, 3, 5, 6]),
        (StateFilter::Waiting, "", vec![3, 5, 6]),
        (StateFilter::KeptBack, "", vec![6]),
        (StateFilter::Refused, "", vec![2]),
        (StateFilter::Delivered, "", vec![1]),
        (StateFilter::Any, "SHOP@news.example", vec![1, 2]),
        (StateFilter::Any, "news.example", vec![1, 2, 6]),
        (StateFilter::Any, "info@firma.example", vec![1, 2, 3, 6]),
        (StateFilter::Held, "info@firma.example", vec![2, 3, 6]),
        (StateFilter::Waiting, "info@firma.example", vec![3, 6]),
        (StateFilter::Refused, "chef@firma.example", vec![]),
        (StateFilter::Refused, "CHEF", vec![]),
        (StateFilter::Refused, "shop@news.example", vec![2]),
        (StateFilter::Delivered, "shop@news.example", vec![1]),
        (StateFilter::Delivered, "shop", vec![1]),
        (StateFilter::Any, "BÜCHER", vec![5]),
        (StateFilter::Any, "other", vec![]),
        (StateFilter::Any, "_", vec![]),
        (StateFilter::Any, "%", vec![]),
    ] {
        let page = store.search(asked(firma, filter, typed)).await.unwrap();
        assert_eq!((ids(&page), page.next, page.is_cut), (found, None, false), "{filter:?} {typed}");
        assert!(page.rows.iter().flat_map(|row| &row.recipients).all(|r| r.account == firma));
    }
}

async fn a_search_finds_by_age_and_goes_on_where_it_ended(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    for second in 1..=9 {
        let mail = NewMessage { id: spool_id(second), ..message(second, &[(firma, "a@firma.example")]) };
        store.intake_commit(mail).await.unwrap();
    }
    let seconds = |page: &SearchPage| page.rows.iter().map(|row| row.accepted_at).collect::<Vec<_>>();
    for typed in ["", "a@firma.example", "firma"] {
        let middle = SearchQuery {
            accepted_from: Some(at(3)),
            accepted_until: Some(at(8)),
            limit: 2,
            ..asked(firma, StateFilter::Held, typed)
        };
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = store.search(SearchQuery { after, ..middle.clone() }).await.unwrap();
            pages.push(seconds(&page));
            assert!(!page.is_cut);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, [vec![at(3), at(4)], vec![at(5), at(6)], vec![at(7)]], "{typed}");
    }
}

async fn a_search_over_many_stops_and_goes_on(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    let many = i64::try_from(LOOKED_AT_MAX).unwrap() + 100;
    let mail = |number| sent(number, &format!("s{number}@x.example"), &[(firma, "a@firma.example")]);
    let commits = (1..=many).map(|number| store.intake_commit(mail(number)));
    for stored in futures_util::future::join_all(commits).await {
        stored.unwrap();
    }
    let last = format!("s{many}@x");
    let first = store.search(asked(firma, StateFilter::Held, &last)).await.unwrap();
    assert_eq!((first.rows.len(), first.is_cut), (0, true));
    let second = SearchQuery { after: first.next, ..asked(firma, StateFilter::Held, &last) };
    let second = store.search(second).await.unwrap();
    assert_eq!((ids(&second), second.next, second.is_cut), (vec![many], None, false));
    let exact = asked(firma, StateFilter::Held, &format!("s{many}@x.example"));
    let mut page = store.search(exact.clone()).await.unwrap();
    while page.is_cut {
        page = store.search(SearchQuery { after: page.next, ..exact.clone() }).await.unwrap();
    }
    assert_eq!(ids(&page), [many]);
}

async fn a_look_at_an_account_is_in_its_audit_log(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    let other = account(store, "other", 2).await.0;
    store.note_of(firma, "look.spool".to_owned(), change(7)).await.unwrap();
    let audit = store.audit(Some(firma), 1).await.unwrap();
    let row = audit.first().unwrap();
    assert_eq!((row.what.as_str(), row.at, row.account), ("look.spool", at(7), Some(firma)));
    assert!(store.audit(Some(other), 9).await.unwrap().iter().all(|row| row.what != "look.spool"));
}
