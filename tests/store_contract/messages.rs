//! The spool: intake, claims, reports, lists.

use bytes::Bytes;
use pulsemx::account::OPERATOR;
use pulsemx::base::AccountId;
use pulsemx::spool::{
    ClaimQuery, CommitError, IntakeStatus, ListQuery, MessageDsn, Notify, Outcome, RecipientDsn, RecipientState,
    Report, RetrySelection, Return, SpoolError, StateFilter, Tally, Usage,
};

use crate::engine::{
    Engine, account, assert_balanced, at, change, claim, deferred, delivered, for_each_engine, id, message, name,
    numbers, query, refused, reply, report,
};

for_each_engine! {
    what_was_committed_is_there_after_a_restart,
    pieces_ahead_and_tail_make_one_content,
    a_message_of_which_a_piece_is_missing_is_not_ours,
    abandoned_pieces_are_swept_at_the_start,
    the_same_commit_twice_is_one_message,
    another_message_of_the_same_id_is_refused,
    mail_for_an_account_that_is_gone_is_not_ours,
    the_oldest_message_is_claimed_first_and_once,
    a_claim_stops_at_its_limits,
    a_claim_may_be_for_some_domains_only,
    two_accounts_share_a_message_and_not_its_fate,
    a_claim_that_was_not_reported_returns_at_the_start,
    what_a_report_does_not_name_returns_to_the_queue,
    what_is_given_back_takes_nothing_from_another_account,
    what_was_tried_in_vain_goes_behind_what_waits,
    a_report_ends_its_own_claim_and_no_older_one,
    a_deferred_recipient_waits_for_its_time_or_the_return_of_the_primary,
    a_refused_recipient_keeps_its_content_and_can_be_retried,
    a_late_report_of_a_delivery_counts_once,
    content_goes_with_the_last_recipient,
    usage_is_exact_after_each_step,
    lists_show_states_and_pages,
    envelopes_of_delivered_mail_are_purged_by_age,
    what_a_sender_wants_to_be_told_comes_with_the_claim,
    mail_for_the_operator_needs_no_account_of_a_customer,
}

async fn firma(engine: &Engine) -> AccountId {
    account(engine.store(), "firma", 1).await.0
}

async fn commit(engine: &Engine, number: i64, recipients: &[(AccountId, &str)]) {
    engine.store().intake_commit(message(number, recipients)).await.unwrap();
}

fn tally(accepted: u64, delivered: u64, waiting: u64, refused: u64) -> Tally {
    Tally { accepted, delivered, deleted: 0, expired: 0, waiting, refused }
}

async fn what_a_sender_wants_to_be_told_comes_with_the_claim(mut engine: Engine) {
    let firma = firma(&engine).await;
    let mut sent = message(7, &[(firma, "a@firma.example"), (firma, "b@firma.example"), (firma, "c@firma.example")]);
    sent.dsn = MessageDsn { ret: Some(Return::Headers), envelope_id: Some("a+b= c".to_owned()) };
    sent.recipients[0].dsn = RecipientDsn {
        notify: Some(Notify::When { success: true, failure: false, delay: true }),
        original_recipient: Some("utf-8;jörg@a.example".to_owned()),
    };
    sent.recipients[1].dsn.notify = Some(Notify::Never);
    sent.requires_tls = true;
    engine.store().intake_commit(sent.clone()).await.unwrap();
    commit(&engine, 8, &[(firma, "a@firma.example")]).await;
    engine.restart();
    let claimed = claim(engine.store(), firma, 9).await;
    assert_eq!(claimed[0].dsn, sent.dsn);
    assert!(claimed[0].requires_tls && !claimed[1].requires_tls);
    for (claimed, sent) in claimed[0].recipients.iter().zip(&sent.recipients) {
        assert_eq!(claimed.dsn, sent.dsn);
    }
    assert_eq!((claimed[1].dsn.clone(), claimed[1].recipients[0].dsn.clone()), Default::default());
}

async fn mail_for_the_operator_needs_no_account_of_a_customer(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 7, &[(OPERATOR, "postmaster@mx.example"), (firma, "a@firma.example")]).await;
    engine.restart();
    let store = engine.store();
    let query = ListQuery { account: Some(OPERATOR), filter: StateFilter::Held, after: None, limit: 10 };
    assert_eq!(store.list(query).await.unwrap().rows.len(), 1);
    assert_eq!(store.usage(OPERATOR).waiting, 1);
    let directory = store.load_directory(at(1)).await.unwrap();
    assert!(directory.account(OPERATOR).is_none(), "nobody signs in to it, nothing of it is delivered");
    assert_eq!(directory.mail_of("operator"), Some(OPERATOR));
    assert_eq!(directory.mail_of("firma"), Some(firma));
    assert_balanced(store, OPERATOR).await;
}

async fn what_was_committed_is_there_after_a_restart(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 7, &[(firma, "\"a b\"@firma.example"), (firma, "Otto@firma.example")]).await;
    engine.restart();
    let store = engine.store();
    let sent = message(7, &[]);
    let detail = store.show(id(7)).await.unwrap().unwrap();
    assert_eq!(
        (detail.sha256, detail.trace, detail.peer, detail.helo),
        (sent.sha256, sent.trace.clone(), sent.peer, sent.helo)
    );
    assert_eq!((detail.header_from, detail.message_id), (sent.header.from, sent.header.message_id));
    assert_eq!((detail.row.accepted_at, detail.row.octets, detail.row.tls), (at(7), sent.octets, sent.tls));
    let claimed = claim(store, firma, 7).await;
    assert_eq!((claimed[0].body, claimed[0].chunks, &claimed[0].reverse_path), (sent.body, 1, &sent.reverse_path));
    let mailboxes: Vec<String> = claimed[0].recipients.iter().map(|r| r.mailbox.to_string()).collect();
    assert_eq!(mailboxes, ["\"a b\"@firma.example", "Otto@firma.example"]);
    assert_eq!(store.body_chunk(id(7), 0).await.unwrap(), sent.tail[0]);
    assert_eq!(store.intake_status(id(7)).await.unwrap(), IntakeStatus::Committed);
    assert_eq!(store.intake_status(id(8)).await.unwrap(), IntakeStatus::Absent);
    assert_eq!(store.tally(firma).await.unwrap(), tally(2, 0, 2, 0));
}

async fn pieces_ahead_and_tail_make_one_content(mut engine: Engine) {
    let firma = firma(&engine).await;
    let pieces: Vec<Bytes> = (0u8..4).map(|n| Bytes::from(vec![n; 60_000])).collect();
    for (ordinal, piece) in (0u32..3).zip(&pieces) {
        engine.store().intake_chunk(id(1), ordinal, piece.clone()).await.unwrap();
    }
    let mut whole = message(1, &[(firma, "a@firma.example")]);
    (whole.chunks_ahead, whole.tail, whole.octets) = (3, vec![pieces[3].clone()], 240_000);
    engine.store().intake_commit(whole).await.unwrap();
    let late = engine.store().intake_chunk(id(1), 0, Bytes::from_static(b"other")).await;
    assert!(late.is_err(), "the content of a complete message does not change");
    engine.store().intake_abandon(id(1)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().recover().await.unwrap().claimed, 0);
    for (ordinal, piece) in (0u32..).zip(&pieces) {
        assert_eq!(engine.store().body_chunk(id(1), ordinal).await.unwrap(), piece);
    }
    let beyond = engine.store().body_chunk(id(1), 4).await;
    assert!(matches!(beyond, Err(SpoolError::ChunkMissing(_))));
    let too_long = Bytes::from(vec![0; pulsemx::spool::CHUNK_OCTETS_MAX + 1]);
    assert!(engine.store().intake_chunk(id(2), 0, too_long).await.is_err());
}

async fn a_message_of_which_a_piece_is_missing_is_not_ours(engine: Engine) {
    let firma = firma(&engine).await;
    engine.store().intake_chunk(id(1), 0, Bytes::from_static(b"x")).await.unwrap();
    let mut holey = message(1, &[(firma, "a@firma.example")]);
    holey.chunks_ahead = 2;
    holey.octets += 1;
    let refused = engine.store().intake_commit(holey).await;
    assert!(matches!(refused, Err(CommitError::NotStored(_))), "{refused:?}");
    let mut short = message(2, &[(firma, "a@firma.example")]);
    short.octets += 1;
    assert!(engine.store().intake_commit(short).await.is_err());
    assert!(engine.store().intake_commit(message(3, &[])).await.is_err(), "nobody to deliver to");
    assert_eq!(engine.store().intake_status(id(1)).await.unwrap(), IntakeStatus::Absent);
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(0, 0, 0, 0));
}

async fn abandoned_pieces_are_swept_at_the_start(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 3, &[(firma, "a@firma.example")]).await;
    for number in [1, 2] {
        engine.store().intake_chunk(id(number), 0, Bytes::from_static(b"x")).await.unwrap();
    }
    engine.store().intake_abandon(id(1)).await.unwrap();
    assert!(engine.store().body_chunk(id(1), 0).await.is_err());
    assert!(engine.store().body_chunk(id(2), 0).await.is_ok());
    engine.restart();
    engine.store().recover().await.unwrap();
    assert!(engine.store().body_chunk(id(2), 0).await.is_err());
    assert!(engine.store().body_chunk(id(3), 0).await.is_ok());
}

async fn the_same_commit_twice_is_one_message(engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example")]).await;
    commit(&engine, 1, &[(firma, "a@firma.example")]).await;
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(1, 0, 1, 0));
    assert_eq!(engine.store().usage(firma).waiting, 1);
}

async fn another_message_of_the_same_id_is_refused(engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example")]).await;
    let mut other = message(1, &[(firma, "a@firma.example")]);
    other.sha256 = [99; 32];
    let refused = engine.store().intake_commit(other).await;
    assert!(matches!(refused, Err(CommitError::NotStored(_))), "{refused:?}");
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(1, 0, 1, 0));
}

async fn mail_for_an_account_that_is_gone_is_not_ours(engine: Engine) {
    let firma = firma(&engine).await;
    let gone = AccountId(firma.0 + 77);
    let mail = message(1, &[(firma, "a@firma.example"), (gone, "b@gone.example")]);
    assert!(matches!(engine.store().intake_commit(mail).await, Err(CommitError::NotStored(_))));
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(0, 0, 0, 0));
    assert_eq!(engine.store().usage(firma), Usage::default());
}

async fn the_oldest_message_is_claimed_first_and_once(engine: Engine) {
    let firma = firma(&engine).await;
    for number in [5, 2, 9, 4] {
        commit(&engine, number, &[(firma, "a@firma.example")]).await;
    }
    let some = ClaimQuery { messages_max: 2, ..query(firma, 1) };
    assert_eq!(numbers(&engine.store().claim(some).await.unwrap()), [2, 4]);
    assert_eq!(
        numbers(&claim(engine.store(), firma, 1).await),
        [5, 9],
        "due even if accepted while the clock was ahead"
    );
    assert_eq!(numbers(&claim(engine.store(), firma, 100).await), Vec::<i64>::new());
    assert_eq!(engine.store().next_due(firma).await.unwrap(), None);
}

async fn a_claim_stops_at_its_limits(engine: Engine) {
    let firma = firma(&engine).await;
    for number in 1..=5 {
        commit(&engine, number, &[(firma, "a@firma.example")]).await;
    }
    let octets = message(1, &[]).octets;
    let at_most = |messages_max, octets_max| ClaimQuery { messages_max, octets_max, ..query(firma, 99) };
    let store = engine.store();
    assert_eq!(numbers(&store.claim(at_most(0, u64::MAX)).await.unwrap()), Vec::<i64>::new());
    assert_eq!(numbers(&store.claim(at_most(2, u64::MAX)).await.unwrap()), [1, 2]);
    assert_eq!(numbers(&store.claim(at_most(9, 0)).await.unwrap()), [3], "at least one");
    assert_eq!(numbers(&store.claim(at_most(9, octets + 1)).await.unwrap()), [4, 5], "the one that crosses");
}

async fn a_claim_may_be_for_some_domains_only(engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example"), (firma, "b@zwei.example")]).await;
    commit(&engine, 2, &[(firma, "a@firma.example")]).await;
    let some = ClaimQuery { domains: vec![name("zwei.example")], ..query(firma, 9) };
    let claimed = engine.store().claim(some).await.unwrap();
    assert_eq!(numbers(&claimed), [1]);
    assert_eq!(claimed[0].recipients.iter().map(|r| r.ordinal).collect::<Vec<_>>(), [1]);
    report(engine.store(), 1, &[(1, delivered())], 9).await;
    let rest = claim(engine.store(), firma, 9).await;
    assert_eq!(numbers(&rest), [1, 2]);
    assert_eq!(rest[0].recipients.iter().map(|r| r.ordinal).collect::<Vec<_>>(), [0]);
}

async fn two_accounts_share_a_message_and_not_its_fate(engine: Engine) {
    let firma = firma(&engine).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    commit(&engine, 1, &[(other, "b@other.example"), (firma, "a@firma.example"), (firma, "c@firma.example")]).await;
    let store = engine.store();
    let ours = claim(store, firma, 9).await;
    assert_eq!(ours[0].recipients.iter().map(|r| r.ordinal).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(claim(store, other, 9).await.len(), 1);
    report(store, 1, &[(1, delivered())], 9).await;
    let row = store.show(id(1)).await.unwrap().unwrap().row;
    let states: Vec<RecipientState> = row.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states, [RecipientState::Claimed, RecipientState::Delivered, RecipientState::Queued]);
    report(store, 1, &[(0, refused())], 9).await;
    assert_eq!(store.tally(firma).await.unwrap(), tally(2, 1, 1, 0));
    assert_eq!(store.tally(other).await.unwrap(), tally(1, 0, 0, 1));
    assert_eq!((store.usage(firma).waiting, store.usage(other).refused), (1, 1));
    let listed = ListQuery { account: Some(firma), filter: StateFilter::Any, after: None, limit: 9 };
    assert_eq!(store.list(listed).await.unwrap().rows[0].recipients.len(), 2);
}

async fn a_claim_that_was_not_reported_returns_at_the_start(mut engine: Engine) {
    let firma = firma(&engine).await;
    for number in 1..=3 {
        commit(&engine, number, &[(firma, "a@firma.example")]).await;
    }
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 2, &[(0, delivered())], 9).await;
    engine.restart();
    assert_eq!(engine.store().recover().await.unwrap().claimed, 2);
    assert_eq!(numbers(&claim(engine.store(), firma, 9).await), [1, 3]);
    assert_balanced(engine.store(), firma).await;
}

async fn what_a_report_does_not_name_returns_to_the_queue(engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example"), (firma, "b@firma.example")]).await;
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(1, delivered())], 9).await;
    let again = claim(engine.store(), firma, 9).await;
    assert_eq!((again[0].recipients[0].ordinal, again[0].recipients[0].attempts), (0, 0));
    report(engine.store(), 1, &[(0, Outcome::Returned)], 9).await;
    assert_eq!(claim(engine.store(), firma, 9).await.len(), 1);
}

async fn what_is_given_back_takes_nothing_from_another_account(engine: Engine) {
    let firma = firma(&engine).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    commit(&engine, 1, &[(firma, "a@firma.example"), (other, "b@other.example")]).await;
    let store = engine.store();
    claim(store, firma, 9).await;
    claim(store, other, 9).await;
    report(store, 1, &[(0, Outcome::Returned)], 9).await;
    report(store, 1, &[], 9).await;
    let row = store.show(id(1)).await.unwrap().unwrap().row;
    let states: Vec<RecipientState> = row.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states, [RecipientState::Queued, RecipientState::Claimed]);
    assert_eq!(store.return_claims(firma).await.unwrap(), 0);
    assert_eq!(store.return_claims(other).await.unwrap(), 1);
    assert_eq!(claim(store, other, 9).await.len(), 1);
}

async fn what_was_tried_in_vain_goes_behind_what_waits(engine: Engine) {
    let firma = firma(&engine).await;
    for number in [1, 2, 3] {
        commit(&engine, number, &[(firma, "a@firma.example"), (firma, "b@firma.example")]).await;
    }
    let store = engine.store();
    store.claim(ClaimQuery { messages_max: 2, ..query(firma, 9) }).await.unwrap();
    report(store, 1, &[(0, deferred(20)), (1, Outcome::Returned)], 9).await;
    report(store, 2, &[(0, Outcome::Postponed { until: at(10) }), (1, Outcome::Postponed { until: at(10) })], 9).await;
    let row = store.show(id(2)).await.unwrap().unwrap().row.recipients.remove(0);
    assert_eq!((row.state, row.attempts, row.due_at), (RecipientState::Queued, 0, Some(at(10))));
    store.make_due(firma, at(10)).await.unwrap();
    let claimed = claim(store, firma, 20).await;
    assert_eq!(numbers(&claimed), [1, 3, 2]);
    let ordinals = |place: usize| claimed[place].recipients.iter().map(|r| r.ordinal).collect::<Vec<_>>();
    assert_eq!((ordinals(0), ordinals(1)), (vec![0, 1], vec![0, 1]), "one message, however its recipients are due");
}

async fn a_report_ends_its_own_claim_and_no_older_one(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example"), (firma, "b@zwei.example")]).await;
    for (domain, is_first) in [("firma.example", true), ("zwei.example", false)] {
        let some = ClaimQuery { domains: vec![name(domain)], ..query(firma, 9) };
        assert_eq!(engine.store().claim(some).await.unwrap().len(), 1);
        if is_first {
            engine.restart();
        }
    }
    report(engine.store(), 1, &[(1, refused())], 9).await;
    let row = engine.store().show(id(1)).await.unwrap().unwrap().row;
    assert_eq!(row.recipients[0].state, RecipientState::Claimed);
}

async fn a_deferred_recipient_waits_for_its_time_or_the_return_of_the_primary(engine: Engine) {
    let firma = firma(&engine).await;
    for number in [1, 2] {
        commit(&engine, number, &[(firma, "a@firma.example")]).await;
    }
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(0, deferred(60))], 10).await;
    report(engine.store(), 2, &[(0, deferred(90))], 11).await;
    let store = engine.store();
    assert_eq!(numbers(&claim(store, firma, 59).await), Vec::<i64>::new());
    assert_eq!(store.next_due(firma).await.unwrap(), Some(at(60)));
    let row = store.show(id(1)).await.unwrap().unwrap().row.recipients.remove(0);
    assert_eq!((row.attempts, row.last_attempt_at, row.due_at), (1, Some(at(10)), Some(at(60))));
    assert_eq!(row.last_reply, Some(reply(451)));
    assert_eq!(store.make_due(firma, at(60)).await.unwrap(), 1, "the other is due already");
    assert_eq!(numbers(&claim(store, firma, 60).await), [1, 2]);
}

async fn a_refused_recipient_keeps_its_content_and_can_be_retried(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example")]).await;
    commit(&engine, 2, &[(firma, "a@firma.example")]).await;
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(0, refused())], 9).await;
    engine.restart();
    let store = engine.store();
    assert!(store.body_chunk(id(1), 0).await.is_ok());
    assert_eq!(store.tally(firma).await.unwrap(), tally(2, 0, 1, 1));
    assert_eq!(numbers(&claim(store, firma, 99).await), Vec::<i64>::new());
    assert_eq!(
        store.retry(RetrySelection::Account(firma), change(50)).await.unwrap(),
        1,
        "a claimed one is left alone"
    );
    assert_eq!(store.usage(firma).refused, 0);
    assert_eq!(store.next_due(firma).await.unwrap(), Some(at(50)));
    assert_eq!(numbers(&claim(store, firma, 50).await), [1]);
    report(store, 1, &[(0, refused())], 51).await;
    assert_eq!(store.retry(RetrySelection::Message(id(1)), change(60)).await.unwrap(), 1);
    assert_eq!(store.retry(RetrySelection::Message(id(77)), change(60)).await.unwrap(), 0);
    let audit = store.audit(Some(firma), 9).await.unwrap();
    assert_eq!(audit.iter().filter(|row| row.what.starts_with("queue.retry")).count(), 2);
    assert_balanced(store, firma).await;
}

async fn a_late_report_of_a_delivery_counts_once(mut engine: Engine) {
    let firma = firma(&engine).await;
    commit(&engine, 1, &[(firma, "a@firma.example")]).await;
    claim(engine.store(), firma, 9).await;
    engine.restart();
    engine.store().recover().await.unwrap();
    report(engine.store(), 1, &[(0, refused())], 9).await;
    assert_eq!(
        engine.store().tally(firma).await.unwrap(),
        tally(1, 0, 1, 0),
        "only a delivery is a fact without a claim"
    );
    report(engine.store(), 1, &[(0, delivered()), (0, delivered()), (8, delivered())], 9).await;
    report(engine.store(), 1, &[(0, delivered())], 9).await;
    report(engine.store(), 1, &[(0, deferred(99))], 9).await;
    report(engine.store(), 44, &[(0, delivered())], 9).await;
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(1, 1, 0, 0));
    assert_eq!(numbers(&claim(engine.store(), firma, 999).await), Vec::<i64>::new());
}

async fn content_goes_with_the_last_recipient(engine: Engine) {
    let firma = firma(&engine).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    commit(&engine, 1, &[(firma, "a@firma.example"), (other, "b@other.example")]).await;
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(0, delivered())], 9).await;
    assert!(engine.store().body_chunk(id(1), 0).await.is_ok());
    claim(engine.store(), other, 9).await;
    report(engine.store(), 1, &[(1, delivered())], 9).await;
    assert!(matches!(engine.store().body_chunk(id(1), 0).await, Err(SpoolError::ChunkMissing(_))));
    assert!(engine.store().show(id(1)).await.unwrap().is_some(), "the envelope stays for the page");
}

async fn usage_is_exact_after_each_step(mut engine: Engine) {
    let firma = firma(&engine).await;
    let octets = message(1, &[]).octets;
    let usage = |waiting, refused| Usage { waiting, refused, octets: (waiting + refused) * octets };
    assert_eq!(engine.store().usage(firma), usage(0, 0));
    commit(&engine, 1, &[(firma, "a@firma.example"), (firma, "b@firma.example")]).await;
    commit(&engine, 2, &[(firma, "a@firma.example")]).await;
    assert_eq!(engine.store().usage(firma), usage(2, 0));
    claim(engine.store(), firma, 9).await;
    assert_eq!(engine.store().usage(firma), usage(2, 0));
    report(engine.store(), 1, &[(0, refused())], 9).await;
    assert_eq!(engine.store().usage(firma), usage(2, 0), "the other recipient still waits");
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(1, delivered())], 9).await;
    assert_eq!(engine.store().usage(firma), usage(1, 1));
    engine.restart();
    assert_eq!(engine.store().usage(firma), usage(1, 1));
    report(engine.store(), 2, &[(0, delivered())], 9).await;
    assert_eq!(engine.store().usage(firma), usage(0, 1));
    engine.store().retry(RetrySelection::Message(id(1)), change(9)).await.unwrap();
    assert_eq!(engine.store().usage(firma), usage(1, 0));
}

async fn lists_show_states_and_pages(engine: Engine) {
    let firma = firma(&engine).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    for number in 1..=6 {
        let whose = if number == 6 { (other, "b@other.example") } else { (firma, "a@firma.example") };
        commit(&engine, number, &[whose]).await;
    }
    let store = engine.store();
    store.claim(ClaimQuery { messages_max: 3, ..query(firma, 3) }).await.unwrap();
    let outcomes = [delivered(), refused(), deferred(99)];
    for (number, outcome) in (1..).zip(outcomes) {
        store.report(vec![Report { id: id(number), outcomes: vec![(0, outcome)] }], at(9)).await.unwrap();
    }
    let listed = async |account, filter| {
        let page = store.list(ListQuery { account, filter, after: None, limit: 100 }).await.unwrap();
        assert_eq!(page.next, None);
        page.rows.iter().map(|row| row.id.as_i64()).collect::<Vec<_>>()
    };
    for (filter, ours, all) in [
        (StateFilter::Held, vec![2, 3, 4, 5], vec![2, 3, 4, 5, 6]),
        (StateFilter::Waiting, vec![3, 4, 5], vec![3, 4, 5, 6]),
        (StateFilter::Refused, vec![2], vec![2]),
        (StateFilter::Delivered, vec![1], vec![1]),
        (StateFilter::Any, vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5, 6]),
    ] {
        assert_eq!(listed(Some(firma), filter).await, ours, "{filter:?}");
        assert_eq!(listed(None, filter).await, all, "{filter:?}");
    }
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page =
            store.list(ListQuery { account: Some(firma), filter: StateFilter::Any, after, limit: 2 }).await.unwrap();
        pages.push(page.rows.iter().map(|row| row.id.as_i64()).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
}

async fn envelopes_of_delivered_mail_are_purged_by_age(engine: Engine) {
    let firma = firma(&engine).await;
    for number in [1, 2, 3] {
        commit(&engine, number, &[(firma, "a@firma.example")]).await;
    }
    claim(engine.store(), firma, 9).await;
    report(engine.store(), 1, &[(0, delivered())], 10).await;
    report(engine.store(), 2, &[(0, delivered())], 20).await;
    assert_eq!(engine.store().purge_delivered(at(20)).await.unwrap(), 1);
    assert!(engine.store().show(id(1)).await.unwrap().is_none());
    assert!(engine.store().show(id(2)).await.unwrap().is_some());
    assert!(engine.store().show(id(3)).await.unwrap().is_some());
    assert_eq!(engine.store().tally(firma).await.unwrap(), tally(3, 2, 1, 0));
}
