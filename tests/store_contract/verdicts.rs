//! Verdicts stand beside their messages and go with them.

use pulsemx::spool::ClaimQuery;
use pulsemx::verdict::{DkimFinding, Finding, SpfFinding, Verdict};

use crate::engine::{Engine, account, at, claim, delivered, for_each_engine, id, message, query, report};

fn verdict(domain: &str) -> Verdict {
    Verdict {
        spf: SpfFinding { finding: Finding::Pass, domain: domain.to_owned() },
        dkim: vec![DkimFinding { finding: Finding::Fail, domain: domain.to_owned(), selector: "s1".to_owned() }],
        arc: Finding::TempError,
        is_forwarded: true,
        ..Verdict::default()
    }
}

for_each_engine! {
    a_verdict_stands_beside_its_message_and_goes_with_it,
    messages_without_a_verdict_are_found_youngest_first,
}

async fn a_verdict_stands_beside_its_message_and_goes_with_it(mut engine: Engine) {
    let firma = account(engine.store(), "firma", 1).await.0;
    engine.store().intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    assert_eq!(engine.store().verdict(id(1)).await.unwrap(), None);
    for domain in ["first.example", "second.example"] {
        assert!(engine.store().save_verdict(id(1), verdict(domain), at(2)).await.unwrap());
    }
    engine.restart();
    assert_eq!(engine.store().verdict(id(1)).await.unwrap(), Some(verdict("second.example")));
    claim(engine.store(), firma, 10).await;
    report(engine.store(), 1, &[(0, delivered())], 11).await;
    assert_eq!(engine.store().verdict(id(1)).await.unwrap(), Some(verdict("second.example")), "delivered, still shown");
    assert_eq!(engine.store().purge_delivered(at(20)).await.unwrap(), 1);
    assert_eq!(engine.store().verdict(id(1)).await.unwrap(), None);
    assert!(!engine.store().save_verdict(id(1), verdict("late.example"), at(21)).await.unwrap());
    assert_eq!(engine.store().verdict(id(1)).await.unwrap(), None);
}

async fn messages_without_a_verdict_are_found_youngest_first(engine: Engine) {
    let store = engine.store();
    let (firma, verein) = (account(store, "firma", 1).await.0, account(store, "verein", 2).await.0);
    for number in 1..=6 {
        store.intake_commit(message(number, &[(firma, "a@firma.example")])).await.unwrap();
    }
    store.save_verdict(id(5), verdict("checked.example"), at(7)).await.unwrap();
    store.claim(ClaimQuery { messages_max: 1, ..query(firma, 10) }).await.unwrap();
    report(store, 1, &[(0, delivered())], 11).await;
    let numbers = async |since, limit| -> Vec<i64> {
        store.unchecked(at(since), limit).await.unwrap().iter().map(|subject| subject.id.as_i64()).collect()
    };
    assert_eq!(numbers(0, 10).await, [6, 4, 3, 2]);
    assert_eq!(numbers(3, 10).await, [6, 4, 3]);
    assert_eq!(numbers(0, 2).await, [6, 4]);
    let first = &store.unchecked(at(0), 1).await.unwrap()[0];
    let sent = message(6, &[(firma, "a@firma.example")]);
    assert_eq!(
        (first.peer, &first.helo, &first.reverse_path, first.chunks),
        (sent.peer, &sent.helo, &sent.reverse_path, 1)
    );
    assert_eq!(first.accounts, [firma]);
    let several = [(verein, "v@verein.example"), (firma, "a@firma.example"), (firma, "b@firma.example")];
    store.intake_commit(message(7, &several)).await.unwrap();
    let mut both = [firma, verein];
    both.sort_unstable();
    assert_eq!(store.unchecked(at(0), 1).await.unwrap()[0].accounts, both);
}
