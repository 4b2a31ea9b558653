//! Random operations on both engines side by side: they must never disagree, and nothing may be lost or doubled.

use bytes::Bytes;
use proptest::prelude::*;
use pulsemx::base::{AccountId, Mailbox};
use pulsemx::spool::{
    ClaimOrder, ClaimQuery, DotNote, ExpiryTerms, ListQuery, NewRecipient, Outcome, RecipientDsn, Report,
    RetrySelection, Ruling, StateFilter,
};

use crate::engine::spool_id as id;
use crate::engine::{Engine, Everything, account, at, change, deferred, delivered, message, name, query, refused};

#[derive(Clone, Debug)]
enum Step {
    Commit { number: i64, recipients: Vec<(bool, bool)>, ahead: bool, is_bulk: bool },
    Abandon { number: i64 },
    Claim { of_other: bool, messages_max: u32, octets_max: u64, one_domain: bool, order: u8 },
    Report { number: i64, outcomes: Vec<(u32, u8)> },
    MakeDue { of_other: bool },
    RetryAccount { of_other: bool },
    RetryMessage { number: i64 },
    Flush(FlushStep),
    Purge,
    Recover,
    ReturnClaims { of_other: bool },
    Restart,
}

/// What flushes and persons add.
#[derive(Clone, Debug)]
enum FlushStep {
    Rule { number: i64, ruling: u8 },
    Note { number: i64, lane: u64 },
    Expire { accepted_before: i64, ended_ago: i64 },
}

const NUMBERS: std::ops::Range<i64> = 1..7;

fn step() -> impl Strategy<Value = Step> {
    let pairs = prop::collection::vec((any::<bool>(), any::<bool>()), 1..4);
    let outcomes = prop::collection::vec((0u32..4, 0u8..5), 0..4);
    prop_oneof![
        4 => (NUMBERS, pairs, any::<bool>(), any::<bool>())
            .prop_map(|(number, recipients, ahead, is_bulk)| Step::Commit { number, recipients, ahead, is_bulk }),
        1 => NUMBERS.prop_map(|number| Step::Abandon { number }),
        4 => (any::<bool>(), 0u32..4, 0u64..100, any::<bool>(), 0u8..3).prop_map(
            |(of_other, messages_max, octets_max, one_domain, order)| {
                Step::Claim { of_other, messages_max, octets_max, one_domain, order }
            }
        ),
        2 => (NUMBERS, 0u8..4).prop_map(|(number, ruling)| Step::Flush(FlushStep::Rule { number, ruling })),
        1 => (NUMBERS, 0u64..2).prop_map(|(number, lane)| Step::Flush(FlushStep::Note { number, lane })),
        1 => (NUMBERS, 0i64..5).prop_map(|(before, ended_ago)| {
            Step::Flush(FlushStep::Expire { accepted_before: before, ended_ago })
        }),
        6 => (NUMBERS, outcomes).prop_map(|(number, outcomes)| Step::Report { number, outcomes }),
        1 => any::<bool>().prop_map(|of_other| Step::MakeDue { of_other }),
        1 => any::<bool>().prop_map(|of_other| Step::RetryAccount { of_other }),
        1 => NUMBERS.prop_map(|number| Step::RetryMessage { number }),
        1 => Just(Step::Purge),
        1 => Just(Step::Recover),
        1 => any::<bool>().prop_map(|of_other| Step::ReturnClaims { of_other }),
        1 => Just(Step::Restart),
    ]
}

fn outcome(which: u8, now: i64) -> Outcome {
    match which {
        0 => delivered(),
        1 => refused(),
        2 => deferred(now + 5),
        3 => Outcome::Postponed { until: at(now + 1) },
        _ => Outcome::Returned,
    }
}

/// Does one step and tells everything that the engine answered.
async fn take(engine: &mut Engine, step: &Step, now: i64, accounts: [AccountId; 2]) -> String {
    let of = |of_other: bool| accounts[usize::from(of_other)];
    if matches!(step, Step::Restart) {
        engine.restart();
    }
    let store = engine.store();
    match step {
        Step::Commit { number, recipients, ahead, is_bulk } => {
            let mut mail = message(*number, &[]);
            mail.id = id(*number);
            mail.header.is_bulk = *is_bulk;
            for (of_other, of_second_domain) in recipients {
                let text = if *of_second_domain { "a@zwei.example" } else { "a@firma.example" };
                mail.recipients.push(NewRecipient {
                    account: of(*of_other),
                    mailbox: Mailbox::parse(text, false).unwrap(),
                    dsn: RecipientDsn::default(),
                });
            }
            if *ahead {
                let piece = Bytes::from_static(b"ahead");
                mail.chunks_ahead = 1;
                mail.octets += 5;
                let chunk = store.intake_chunk(mail.id, 0, piece).await.is_ok();
                return format!("{chunk} {}", store.intake_commit(mail).await.is_ok());
            }
            format!("{}", store.intake_commit(mail).await.is_ok())
        }
        Step::Abandon { number } => {
            let chunk = store.intake_chunk(id(*number), 0, Bytes::from_static(b"x")).await.is_ok();
            format!("{chunk} {}", store.intake_abandon(id(*number)).await.is_ok())
        }
        Step::Claim { of_other, messages_max, octets_max, one_domain, order } => {
            let fresh_since = at(4);
            let order = match order {
                0 => ClaimOrder::OldestFirst,
                1 => ClaimOrder::FreshFirst { fresh_since },
                _ => ClaimOrder::Canary { fresh_since },
            };
            let domains = if *one_domain { vec![name("zwei.example")] } else { Vec::new() };
            let query = query(of(*of_other), now);
            let query = ClaimQuery { messages_max: *messages_max, octets_max: *octets_max, domains, order, ..query };
            format!("{:?}", store.claim(query).await.unwrap())
        }
        Step::Report { number, outcomes } => {
            let outcomes = outcomes.iter().map(|(ordinal, which)| (*ordinal, outcome(*which, now))).collect();
            format!("{:?}", store.report(vec![Report { id: id(*number), outcomes, via: None }], at(now)).await.is_ok())
        }
        Step::MakeDue { of_other } => format!("{}", store.make_due(of(*of_other), at(now)).await.unwrap()),
        Step::RetryAccount { of_other } => {
            format!("{}", store.retry(RetrySelection::Account(of(*of_other)), change(now)).await.unwrap())
        }
        Step::RetryMessage { number } => {
            format!("{}", store.retry(RetrySelection::Message(id(*number)), change(now)).await.unwrap())
        }
        Step::Flush(step) => take_of_flush(store, step, now).await,
        Step::Purge => format!("{}", store.purge_delivered(at(now - 3)).await.unwrap()),
        Step::Recover => format!("{:?}", store.recover().await.unwrap()),
        Step::ReturnClaims { of_other } => format!("{}", store.return_claims(of(*of_other)).await.unwrap()),
        Step::Restart => String::new(),
    }
}

/// The steps that flushes and persons add.
async fn take_of_flush(store: &dyn Everything, step: &FlushStep, now: i64) -> String {
    match step {
        FlushStep::Rule { number, ruling } => {
            let ruling = [Ruling::Hold, Ruling::Release, Ruling::Fail, Ruling::Drop][usize::from(*ruling)];
            format!("{}", store.rule(id(*number), ruling, change(now)).await.unwrap())
        }
        FlushStep::Note { number, lane } => {
            let peer = "192.0.2.1:25".parse().unwrap();
            let note = DotNote { lane: *lane, message: id(*number), peer, at: at(now) };
            format!("{}", store.settle(Vec::new(), vec![note], at(now)).await.is_ok())
        }
        FlushStep::Expire { accepted_before, ended_ago } => {
            let terms = ExpiryTerms::of_all(at(*accepted_before), at(now - ended_ago));
            format!("{:?}", store.expire(terms, at(now)).await.unwrap())
        }
    }
}

/// Everything that can be seen of an engine, with the balance checked.
async fn view(engine: &Engine, accounts: [AccountId; 2]) -> String {
    let store = engine.store();
    let mut seen = String::new();
    for account in accounts {
        let tally = store.tally(account).await.unwrap();
        assert!(tally.is_balanced(), "{tally:?}");
        let due = store.next_due(account).await.unwrap();
        let oldest = store.oldest_waiting().await.unwrap();
        seen += &format!("{tally:?} {:?} {due:?} {oldest:?}\n", store.usage(account));
    }
    for account in [None, Some(accounts[0]), Some(accounts[1])] {
        for filter in
            [StateFilter::Held, StateFilter::Waiting, StateFilter::Refused, StateFilter::Delivered, StateFilter::Any]
        {
            let page = store.list(ListQuery { account, filter, after: None, limit: 4 }).await.unwrap();
            seen += &format!("{account:?} {filter:?} {page:?}\n");
        }
    }
    for number in NUMBERS {
        for ordinal in 0..3 {
            seen += &format!("{:?} ", store.body_chunk(id(number), ordinal).await.ok());
        }
        let detail = store.show(id(number)).await.unwrap();
        let is_held = detail.is_some_and(|d| d.row.recipients.iter().any(|r| r.state.as_str() != "delivered"));
        assert!(!is_held || store.body_chunk(id(number), 0).await.is_ok(), "held mail lost its content");
    }
    seen
}

async fn side_by_side(steps: Vec<Step>) {
    let mut engines = [Engine::memory(), Engine::sqlite()];
    let mut accounts = Vec::new();
    for engine in &engines {
        let store = engine.store();
        accounts.push([account(store, "firma", 1).await.0, account(store, "other", 2).await.0]);
    }
    for (now, step) in (1..).zip(steps) {
        let mut answers = Vec::new();
        for (engine, accounts) in engines.iter_mut().zip(&accounts) {
            let answer = take(engine, &step, now, *accounts).await;
            let seen = view(engine, *accounts).await;
            // The engines number their accounts in ways of their own.
            let text = format!("{answer}\n{seen}");
            let text =
                text.replace(&format!("{:?}", accounts[0]), "firma").replace(&format!("{:?}", accounts[1]), "other");
            answers.push(text);
        }
        assert_eq!(answers[0], answers[1], "memory (left) and sqlite (right) after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_engines_agree_and_balance_after_every_step(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(side_by_side(steps));
    }
}
