//! What a flush asks of the spool: order, known-good recipients, holds, rulings, notes before the dot, expiry.

use bytes::Bytes;
use pulsemx::base::{AccountId, DomainName};
use pulsemx::recipient::Learned;
use pulsemx::spool::{
    ClaimOrder, ClaimQuery, DeliveryReply, DotNote, ExpiryTerms, Hold, HoldKind, ListQuery, NewMessage, Outcome,
    RecipientState, Report, Ruling, StateFilter, Usage,
};

use crate::engine::{
    Engine, account, assert_balanced, at, change, claim, delivered, for_each_engine, message, numbers, query, reply,
    spool_id,
};

for_each_engine! {
    fresh_mail_goes_first_then_the_oldest_and_bulk_last,
    a_canary_is_the_smallest_fresh_message_to_somebody_known,
    who_is_known_good_is_what_the_server_said_last,
    refusals_that_are_not_believed_are_counted_apart_from_deferrals,
    a_message_that_the_primary_took_at_once_leaves_its_envelope,
    a_message_whose_reply_is_awaited_is_in_nobody_elses_hands,
    a_hold_survives_a_restart_and_goes_with_its_account,
    a_person_may_hold_release_give_up_and_drop_a_message,
    what_a_person_says_never_takes_a_message_out_of_a_delivery,
    a_note_without_an_outcome_is_told_after_a_crash_and_no_other,
    mail_that_waited_too_long_is_kept_aside_and_removed_later,
    mail_of_an_account_on_holiday_waits_for_longer,
    the_oldest_waiting_message_of_each_account_is_known,
}

const ANY: ClaimOrder = ClaimOrder::OldestFirst;

async fn firma(engine: &Engine) -> AccountId {
    account(engine.store(), "firma", 1).await.0
}

/// A message whose id is that of its second, as real ones have it.
fn mail(second: i64, to: &[(AccountId, &str)]) -> NewMessage {
    NewMessage { id: spool_id(second), ..message(second, to) }
}

async fn commit(engine: &Engine, mail: NewMessage) {
    engine.store().intake_commit(mail).await.unwrap();
}

async fn report(engine: &Engine, second: i64, outcomes: &[(u32, Outcome)], now: i64) {
    let report = Report { id: spool_id(second), outcomes: outcomes.to_vec(), via: None };
    engine.store().report(vec![report], at(now)).await.unwrap();
}

async fn claim_in(engine: &Engine, account: AccountId, now: i64, order: ClaimOrder) -> Vec<i64> {
    let query = ClaimQuery { order, ..query(account, now) };
    let claimed = engine.store().claim(query).await.unwrap();
    let second = |id: i64| (0..100).find(|second| spool_id(*second).as_i64() == id).unwrap();
    numbers(&claimed).into_iter().map(second).collect()
}

async fn states(engine: &Engine, second: i64) -> Vec<RecipientState> {
    let detail = engine.store().show(spool_id(second)).await.unwrap();
    detail.map(|d| d.row.recipients.iter().map(|r| r.state).collect()).unwrap_or_default()
}

async fn fresh_mail_goes_first_then_the_oldest_and_bulk_last(mut engine: Engine) {
    let firma = firma(&engine).await;
    let to = [(firma, "a@firma.example")];
    let mut bulk = mail(1, &to);
    bulk.header.is_bulk = true;
    let mut fresh_bulk = mail(22, &to);
    fresh_bulk.reverse_path = pulsemx::base::ReversePath::Null;
    for one in [bulk, mail(2, &to), mail(3, &to), mail(20, &to), mail(21, &to), fresh_bulk] {
        commit(&engine, one).await;
    }
    engine.restart();
    let fresh_first = ClaimOrder::FreshFirst { fresh_since: at(20) };
    assert_eq!(claim_in(&engine, firma, 30, fresh_first).await, [20, 21, 2, 3, 1, 22]);
    engine.store().recover().await.unwrap();
    assert_eq!(claim_in(&engine, firma, 30, ANY).await, [2, 3, 20, 21, 1, 22]);
    engine.store().recover().await.unwrap();
    let query = ClaimQuery { order: fresh_first, messages_max: 3, ..query(firma, 30) };
    assert_eq!(numbers(&engine.store().claim(query).await.unwrap()).len(), 3);
}

async fn a_canary_is_the_smallest_fresh_message_to_somebody_known(engine: Engine) {
    let firma = firma(&engine).await;
    let (known, unknown) = ([(firma, "Known@firma.example")], [(firma, "who@firma.example")]);
    learn(&engine, firma, "known", true).await;
    let grown = |second: i64, to: &[(AccountId, &str)], more: usize| {
        let mut mail = mail(second, to);
        mail.tail.push(vec![b'x'; more].into());
        mail.octets += more as u64;
        mail
    };
    for one in [grown(2, &unknown, 1), grown(3, &known, 50), grown(20, &unknown, 2), grown(21, &known, 90)] {
        commit(&engine, one).await;
    }
    let canary = ClaimOrder::Canary { fresh_since: at(20) };
    let mut chosen = Vec::new();
    for _ in 0..5 {
        chosen.extend(claim_in(&engine, firma, 30, canary).await);
    }
    assert_eq!(chosen, [21, 3, 2, 20]);
}

/// What the account's server said of a mailbox, as the recipients' room keeps it.
async fn learn(engine: &Engine, account: AccountId, name: &str, is_accepted: bool) {
    let domain = DomainName::parse("firma.example").unwrap();
    let learned = Learned { account, domain, name: name.to_owned(), is_accepted, at: at(1) };
    engine.store().learn(vec![learned]).await.unwrap();
}

async fn who_is_known_good_is_what_the_server_said_last(engine: Engine) {
    let firma = firma(&engine).await;
    let to = [(firma, "A@firma.example"), (firma, "b@firma.example")];
    let mut known = Vec::new();
    for (second, says) in [(1, None), (2, Some(true)), (3, Some(false))] {
        if let Some(is_accepted) = says {
            learn(&engine, firma, "a", true).await;
            learn(&engine, firma, "b", is_accepted).await;
        }
        commit(&engine, mail(second, &to)).await;
        let claimed = claim(engine.store(), firma, second).await;
        known.push(claimed[0].recipients.iter().map(|r| r.is_known_good).collect::<Vec<bool>>());
        report(&engine, second, &[(0, delivered()), (1, delivered())], second).await;
    }
    assert_eq!(known, [[false, false], [true, true], [true, false]]);
}

async fn refusals_that_are_not_believed_are_counted_apart_from_deferrals(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, mail(1, &[(firma, "a@firma.example")])).await;
    let mut counted = Vec::new();
    for (second, code) in [(1, Some(451)), (2, Some(550)), (3, None), (4, Some(552)), (5, Some(421))] {
        let claimed = claim(engine.store(), firma, second).await;
        counted.push((claimed[0].recipients[0].attempts, claimed[0].recipients[0].refusals));
        let reply = DeliveryReply { code, text: "x".to_owned() };
        report(&engine, 1, &[(0, Outcome::Deferred { until: at(second), reply })], second).await;
        engine.restart();
    }
    assert_eq!(counted, [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]);
}

async fn a_message_that_the_primary_took_at_once_leaves_its_envelope(mut engine: Engine) {
    let firma = firma(&engine).await;
    let mut one = mail(1, &[(firma, "a@firma.example"), (firma, "b@firma.example")]);
    let id = one.id;
    let ahead = Bytes::from_static(b"first piece\r\n");
    engine.store().intake_chunk(id, 0, ahead.clone()).await.unwrap();
    one.chunks_ahead = 1;
    one.octets += ahead.len() as u64;
    let reply = DeliveryReply { code: Some(250), text: "2.0.0 taken".to_owned() };
    engine.store().record_passed(one, reply.clone(), at(2)).await.unwrap();
    for _ in 0..2 {
        let tally = engine.store().tally(firma).await.unwrap();
        assert_eq!((tally.accepted, tally.delivered, tally.waiting, tally.is_balanced()), (2, 2, 0, true));
        assert_eq!(engine.store().usage(firma), Usage::default());
        let shown = engine.store().show(id).await.unwrap().unwrap();
        assert!(shown.row.recipients.iter().all(|r| r.state == RecipientState::Delivered && r.attempts == 1));
        assert_eq!(shown.row.recipients[0].last_reply, Some(reply.clone()));
        assert!(engine.store().body_chunk(id, 0).await.is_err(), "no content");
        assert!(claim(engine.store(), firma, 9).await.is_empty());
        engine.restart();
    }
    assert_eq!(engine.store().purge_delivered(at(9)).await.unwrap(), 1);
}

async fn a_message_whose_reply_is_awaited_is_in_nobody_elses_hands(mut engine: Engine) {
    let firma = firma(&engine).await;
    let note =
        |second| DotNote { lane: 7, message: mail(second, &[]).id, peer: "192.0.2.1:25".parse().unwrap(), at: at(2) };
    for second in [1, 2] {
        engine.store().intake_awaited(mail(second, &[(firma, "a@firma.example")]), note(second)).await.unwrap();
    }
    assert!(claim(engine.store(), firma, 9).await.is_empty());
    assert_eq!(engine.store().usage(firma).waiting, 2, "nothing overtakes it");
    report(&engine, 1, &[(0, delivered())], 3).await;
    assert!(engine.store().tally(firma).await.unwrap().is_balanced());
    // The other one's reply never came: after a crash it is sent again, and named.
    engine.restart();
    let recovered = engine.store().recover().await.unwrap();
    assert_eq!((recovered.claimed, recovered.doubtful), (1, vec![note(2)]));
    assert_eq!(claim_in(&engine, firma, 9, ANY).await, [2]);
}

async fn a_hold_survives_a_restart_and_goes_with_its_account(mut engine: Engine) {
    let firma = firma(&engine).await;
    let hold = |kind, reason: &str| Hold { kind, reason: reason.to_owned(), since: at(3) };
    engine.store().set_hold(firma, Some(hold(HoldKind::Breaker, "no users")), change(3)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().holds().await.unwrap(), [(firma, hold(HoldKind::Breaker, "no users"))]);
    engine.store().set_hold(firma, Some(hold(HoldKind::Operator, "wait")), change(4)).await.unwrap();
    assert_eq!(engine.store().holds().await.unwrap(), [(firma, hold(HoldKind::Operator, "wait"))]);
    engine.store().set_hold(firma, None, change(5)).await.unwrap();
    assert_eq!(engine.store().holds().await.unwrap(), []);
    let audit = engine.store().audit(Some(firma), 10).await.unwrap();
    assert!(audit.iter().any(|entry| entry.what == "queue.hold breaker: no users"), "{audit:?}");
    engine.store().set_hold(firma, Some(hold(HoldKind::Operator, "x")), change(6)).await.unwrap();
    engine.store().remove_account(firma, change(7)).await.unwrap();
    assert_eq!(engine.store().holds().await.unwrap(), []);
}

async fn a_person_may_hold_release_give_up_and_drop_a_message(mut engine: Engine) {
    use RecipientState::{Delivered, Held, Queued, Refused};
    let firma = firma(&engine).await;
    commit(&engine, mail(1, &[(firma, "a@firma.example"), (firma, "b@firma.example")])).await;
    claim(engine.store(), firma, 1).await;
    report(&engine, 1, &[(0, delivered()), (1, Outcome::Deferred { until: at(50), reply: reply(451) })], 1).await;
    for (ruling, changed, then) in [
        (Ruling::Hold, 1, Held),
        (Ruling::Hold, 0, Held),
        (Ruling::Release, 1, Queued),
        (Ruling::Fail, 1, Refused),
        (Ruling::Release, 1, Queued),
        (Ruling::Hold, 1, Held),
    ] {
        assert_eq!(engine.store().rule(spool_id(1), ruling, change(5)).await.unwrap(), changed, "{ruling:?}");
        engine.restart();
        assert_eq!(states(&engine, 1).await, [Delivered, then], "{ruling:?}");
        assert_balanced(engine.store(), firma).await;
        let usage = engine.store().usage(firma);
        assert_eq!((usage.waiting, usage.refused), if then == Refused { (0, 1) } else { (1, 0) }, "{ruling:?}");
    }
    assert!(claim(engine.store(), firma, 90).await.is_empty(), "what is kept back is not delivered");
    assert_eq!(engine.store().make_due(firma, at(90)).await.unwrap(), 0);
    assert_eq!(engine.store().rule(spool_id(1), Ruling::Drop, change(6)).await.unwrap(), 1);
    assert_eq!(states(&engine, 1).await, [Delivered]);
    assert!(engine.store().body_chunk(spool_id(1), 0).await.is_err(), "nobody needs the content any more");
    let tally = engine.store().tally(firma).await.unwrap();
    assert_eq!((tally.accepted, tally.delivered, tally.deleted), (2, 1, 1));
    assert_balanced(engine.store(), firma).await;
    commit(&engine, mail(2, &[(firma, "a@firma.example")])).await;
    assert_eq!(engine.store().rule(spool_id(2), Ruling::Drop, change(7)).await.unwrap(), 1);
    assert!(engine.store().show(spool_id(2)).await.unwrap().is_none());
    assert_eq!(engine.store().usage(firma), Default::default());
    let audit = engine.store().audit(Some(firma), 50).await.unwrap();
    assert!(audit.iter().any(|entry| entry.what == format!("queue.drop {}", spool_id(2))), "{audit:?}");
}

async fn what_a_person_says_never_takes_a_message_out_of_a_delivery(engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, mail(1, &[(firma, "a@firma.example")])).await;
    claim(engine.store(), firma, 1).await;
    for ruling in [Ruling::Hold, Ruling::Release, Ruling::Fail, Ruling::Drop] {
        assert_eq!(engine.store().rule(spool_id(1), ruling, change(2)).await.unwrap(), 0, "{ruling:?}");
    }
    report(&engine, 1, &[(0, delivered())], 3).await;
    assert_eq!(states(&engine, 1).await, [RecipientState::Delivered]);
    assert_balanced(engine.store(), firma).await;
}

async fn a_note_without_an_outcome_is_told_after_a_crash_and_no_other(mut engine: Engine) {
    let firma = firma(&engine).await;
    for second in 1..=3 {
        commit(&engine, mail(second, &[(firma, "a@firma.example")])).await;
    }
    claim(engine.store(), firma, 5).await;
    let note = |lane, second| DotNote {
        lane,
        message: spool_id(second),
        peer: "[2001:db8::1]:25".parse().unwrap(),
        at: at(5),
    };
    engine.store().settle(Vec::new(), vec![note(1, 1), note(2, 2)], at(5)).await.unwrap();
    let done = Report { id: spool_id(1), outcomes: vec![(0, delivered())], via: None };
    engine.store().settle(vec![done], vec![note(1, 3)], at(6)).await.unwrap();
    let done = Report { id: spool_id(2), outcomes: vec![(0, delivered())], via: None };
    engine.store().settle(vec![done], Vec::new(), at(6)).await.unwrap();
    engine.restart();
    let recovered = engine.store().recover().await.unwrap();
    assert_eq!((recovered.claimed, recovered.doubtful), (1, vec![note(1, 3)]));
    assert_eq!(engine.store().recover().await.unwrap(), Default::default());
}

async fn mail_that_waited_too_long_is_kept_aside_and_removed_later(mut engine: Engine) {
    use RecipientState::{Expired, Queued};
    let firma = firma(&engine).await;
    for second in [1, 9] {
        commit(&engine, mail(second, &[(firma, "a@firma.example")])).await;
    }
    let terms = |accepted, ended| ExpiryTerms::of_all(at(accepted), at(ended));
    let expiry = engine.store().expire(terms(5, 5), at(20)).await.unwrap();
    assert_eq!((expiry.expired, expiry.removed), (1, 0));
    engine.restart();
    assert_eq!((states(&engine, 1).await, states(&engine, 9).await), (vec![Expired], vec![Queued]));
    assert!(engine.store().body_chunk(spool_id(1), 0).await.is_ok());
    let list = ListQuery { account: Some(firma), filter: StateFilter::Refused, after: None, limit: 9 };
    assert_eq!(engine.store().list(list).await.unwrap().rows.len(), 1, "shown with what was refused");
    let tally = engine.store().tally(firma).await.unwrap();
    assert_eq!((tally.waiting, tally.refused, tally.expired), (1, 1, 0));
    assert_eq!(engine.store().expire(terms(5, 20), at(21)).await.unwrap(), Default::default(), "its time is not over");
    let expiry = engine.store().expire(terms(5, 21), at(50)).await.unwrap();
    assert_eq!((expiry.expired, expiry.removed), (0, 1));
    assert!(engine.store().show(spool_id(1)).await.unwrap().is_none());
    let tally = engine.store().tally(firma).await.unwrap();
    assert_eq!((tally.accepted, tally.waiting, tally.refused, tally.expired), (2, 1, 0, 1));
    assert_balanced(engine.store(), firma).await;
    engine.store().retry(pulsemx::spool::RetrySelection::Account(firma), change(60)).await.unwrap();
}

async fn mail_of_an_account_on_holiday_waits_for_longer(engine: Engine) {
    use RecipientState::{Expired, Queued};
    let (firma, away) = (firma(&engine).await, account(engine.store(), "away", 2).await.0);
    for second in [1, 3, 9] {
        commit(&engine, mail(second, &[(firma, "a@firma.example"), (away, "a@away.example")])).await;
    }
    let longer = |ended, ended_away| {
        let longer = [(away, (at(2), at(ended_away)))].into_iter().collect();
        ExpiryTerms { longer, ..ExpiryTerms::of_all(at(5), at(ended)) }
    };
    let expiry = engine.store().expire(longer(2, 2), at(20)).await.unwrap();
    assert_eq!((expiry.expired, expiry.removed), (3, 0));
    assert_eq!(states(&engine, 1).await, [Expired, Expired]);
    assert_eq!(states(&engine, 3).await, [Expired, Queued], "the same message waits on for the one who is away");
    assert_eq!(states(&engine, 9).await, [Queued, Queued]);
    let expiry = engine.store().expire(longer(30, 20), at(40)).await.unwrap();
    assert_eq!((expiry.expired, expiry.removed), (0, 2), "its quarantine too");
    assert_eq!(states(&engine, 1).await, [Expired]);
    let expiry = engine.store().expire(ExpiryTerms::of_all(at(5), at(30)), at(41)).await.unwrap();
    assert_eq!((expiry.expired, expiry.removed), (1, 1));
    assert_balanced(engine.store(), firma).await;
    assert_balanced(engine.store(), away).await;
}

async fn the_oldest_waiting_message_of_each_account_is_known(engine: Engine) {
    let firma = firma(&engine).await;
    account(engine.store(), "other", 2).await;
    for second in [4, 7] {
        commit(&engine, mail(second, &[(firma, "a@firma.example")])).await;
    }
    let oldest = engine.store().oldest_waiting().await.unwrap();
    assert_eq!(oldest.iter().map(|o| (o.account, o.accepted_at)).collect::<Vec<_>>(), [(firma, at(4))]);
}
