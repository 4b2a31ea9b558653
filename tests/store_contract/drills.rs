//! The last fire drill of each account.

use pulsemx::base::AccountId;
use pulsemx::drill::{DrillError, End, Gate, Judgement, NamesSeen, Reached, Record, Step};

use crate::engine::{Engine, account, at, change, for_each_engine, new_account};

for_each_engine! {
    the_last_drill_survives_a_restart_and_goes_with_its_account,
    a_drill_of_nobody_is_refused_and_leaves_no_trace,
}

fn record(second: i64, end: Option<End>) -> Record {
    Record {
        started_at: at(second),
        to: "postmaster@firma.example".to_owned(),
        who: "anna".to_owned(),
        steps: vec![Reached { step: Step::Cut, after_ms: 0 }, Reached { step: Step::Sent, after_ms: 87 }],
        ended_at: end.is_some().then(|| at(second + 2)),
        end,
        dns: Some(NamesSeen {
            domain: "firma.de".to_owned(),
            judgement: Judgement::Doubtful,
            english: "kept for a week".to_owned(),
            german: "eine Woche gültig".to_owned(),
        }),
    }
}

async fn the_last_drill_survives_a_restart_and_goes_with_its_account(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    assert_eq!(engine.store().drills().await.unwrap(), []);
    let running = record(5, None);
    let what = "drill.start postmaster@firma.example".to_owned();
    engine.store().put_drill(one, running.clone(), what.clone(), change(5)).await.unwrap();
    engine.store().put_drill(other, record(6, Some(End::Interrupted)), String::new(), change(6)).await.unwrap();
    engine.restart();
    let stored = engine.store().drills().await.unwrap();
    assert_eq!(
        stored,
        [(one, running), (other, record(6, Some(End::Interrupted)))],
        "a crash leaves one without an end"
    );
    let failed = End::Failed { gate: Gate::Greylisting, reason: "451 \"spä\u{202e}ter\"".to_owned() };
    let ended = record(7, Some(failed));
    engine.store().put_drill(one, ended.clone(), "drill.end failed".to_owned(), change(9)).await.unwrap();
    engine.store().remove_account(other, change(10)).await.unwrap();
    engine.restart();
    assert_eq!(
        engine.store().drills().await.unwrap(),
        [(one, ended)],
        "the last one takes the place of the one before"
    );
    let audit: Vec<String> =
        engine.store().audit(Some(one), 9).await.unwrap().into_iter().map(|entry| entry.what).collect();
    assert!(audit.contains(&what) && audit.contains(&"drill.end failed".to_owned()), "{audit:?}");
}

async fn a_drill_of_nobody_is_refused_and_leaves_no_trace(engine: Engine) {
    let nobody = engine.store().put_drill(AccountId(99), record(5, None), "drill.start x".to_owned(), change(5)).await;
    assert!(matches!(nobody, Err(DrillError::NoAccount)), "{nobody:?}");
    assert_eq!(engine.store().drills().await.unwrap(), []);
    let audit = engine.store().audit(None, 9).await.unwrap();
    assert!(!audit.iter().any(|entry| entry.what.starts_with("drill.")), "{audit:?}");
}
