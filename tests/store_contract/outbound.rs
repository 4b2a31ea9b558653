//! What senders are to be told is noted with the outcome, once; mail of our own is made with the end of its notice.

use bytes::Bytes;
use pulsemx::account::{Preferences, Rewrite};
use pulsemx::base::Mailbox;
use pulsemx::outbound::model::{Conclusion, MailEnd, MailKind, NewMail};
use pulsemx::spool::{NewMessage, NoticeKind, Outcome, Report, RetrySelection, Ruling, Via};
use pulsemx::verdict::{Finding, SpfFinding, Verdict};

use crate::engine::{
    Engine, Everything, account, at, change, claim, deferred, delivered, for_each_engine, id, message, name, refused,
    report,
};

for_each_engine! {
    a_refusal_is_noted_with_its_outcome_and_closed_with_its_mail,
    what_is_tried_again_is_not_told_and_nothing_is_told_twice,
    success_and_delay_are_noted_for_those_who_asked,
    expiry_and_a_person_who_gives_up_are_told_too,
    a_mail_waits_is_tried_and_ends,
    attempts_are_traced_with_their_connection,
    choices_of_an_account_survive,
}

fn asking(number: i64, of: pulsemx::base::AccountId, words: &[&str]) -> NewMessage {
    let names: Vec<String> = (0..words.len()).map(|n| format!("user{n}@firma.example")).collect();
    let recipients: Vec<_> = names.iter().map(|name| (of, name.as_str())).collect();
    let mut message = message(number, &recipients);
    for (recipient, word) in message.recipients.iter_mut().zip(words) {
        recipient.dsn.notify = word.parse().ok();
        recipient.dsn.original_recipient = Some("rfc822;old@firma.example".to_owned());
    }
    message.dsn.envelope_id = Some("ENV 1".to_owned());
    message
}

fn mail(tag: &str) -> NewMail {
    NewMail {
        tag: tag.to_owned(),
        kind: MailKind::Notice(NoticeKind::Failed),
        account: None,
        message: Some(id(1)),
        recipient: Mailbox::parse("sender@elsewhere.example", false).unwrap(),
        smtputf8: false,
        content: Bytes::from_static(b"Subject: x\r\n\r\n"),
    }
}

fn conclusion(results: &[u32], mail: Option<NewMail>) -> Conclusion {
    let results = results.iter().map(|ordinal| (*ordinal, "told".to_owned())).collect();
    Conclusion { message: id(1), kind: NoticeKind::Failed, results, mail }
}

async fn open(store: &dyn Everything) -> Vec<(i64, NoticeKind, Vec<u32>)> {
    let cases = store.open_cases(10).await.unwrap();
    let ordinals = |case: &pulsemx::outbound::model::Case| case.recipients.iter().map(|one| one.ordinal).collect();
    cases.iter().map(|case| (case.message.as_i64(), case.kind, ordinals(case))).collect()
}

async fn a_refusal_is_noted_with_its_outcome_and_closed_with_its_mail(mut engine: Engine) {
    let firma = account(engine.store(), "firma", 1).await.0;
    engine.store().intake_commit(asking(1, firma, &["", "NEVER", ""])).await.unwrap();
    let verdict = Verdict {
        spf: SpfFinding { finding: Finding::Pass, domain: "elsewhere.example".to_owned() },
        ..Verdict::default()
    };
    engine.store().save_verdict(id(1), verdict.clone(), at(2)).await.unwrap();
    claim(engine.store(), firma, 10).await;
    report(engine.store(), 1, &[(0, refused()), (1, refused()), (2, deferred(99))], 11).await;
    engine.restart();
    let store = engine.store();
    let case = &store.open_cases(10).await.unwrap()[0];
    assert_eq!((case.kind, case.first_at, case.is_unfinished, case.chunks), (NoticeKind::Failed, at(11), true, 1));
    assert_eq!((case.accepted_at, &case.verdict), (at(1), &Some(verdict)));
    assert_eq!(case.dsn.envelope_id.as_deref(), Some("ENV 1"));
    let one = &case.recipients[0];
    assert_eq!((one.ordinal, one.mailbox.to_string()), (0, "user0@firma.example".to_owned()));
    assert_eq!(one.dsn.original_recipient.as_deref(), Some("rfc822;old@firma.example"));
    assert_eq!(one.reply.as_ref().unwrap().code, Some(550));
    assert_eq!(case.recipients.len(), 2);
    assert!(!store.conclude(conclusion(&[0, 2], Some(mail("a"))), at(12)).await.unwrap(), "one of them is not open");
    assert!(store.due(at(99), 10).await.unwrap().is_empty());
    assert!(store.conclude(conclusion(&[0, 1], Some(mail("a"))), at(12)).await.unwrap());
    assert!(!store.conclude(conclusion(&[0, 1], Some(mail("b"))), at(13)).await.unwrap(), "it is closed");
    engine.restart();
    let store = engine.store();
    assert!(open(store).await.is_empty());
    let due = store.due(at(99), 10).await.unwrap();
    assert_eq!((due.len(), &due[0].mail, due[0].made_at), (1, &mail("a"), at(12)));
    let notices = store.trace(id(1)).await.unwrap().notices;
    assert_eq!((notices.len(), notices[0].done.clone()), (2, Some((at(12), "told".to_owned()))));
}

async fn what_is_tried_again_is_not_told_and_nothing_is_told_twice(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    store.intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    for second in [10, 20] {
        claim(store, firma, second).await;
        report(store, 1, &[(0, refused())], second).await;
        assert_eq!(open(store).await, [(1, NoticeKind::Failed, vec![0])]);
        if second == 10 {
            store.retry(RetrySelection::Message(id(1)), change(11)).await.unwrap();
        } else {
            store.rule(id(1), Ruling::Release, change(21)).await.unwrap();
        }
        assert!(open(store).await.is_empty(), "tried again");
    }
    claim(store, firma, 30).await;
    report(store, 1, &[(0, refused())], 30).await;
    assert!(store.conclude(conclusion(&[0], Some(mail("a"))), at(31)).await.unwrap());
    store.retry(RetrySelection::Account(firma), change(32)).await.unwrap();
    claim(store, firma, 33).await;
    report(store, 1, &[(0, refused())], 33).await;
    assert!(open(store).await.is_empty(), "it was told before");
    store.rule(id(1), Ruling::Drop, change(40)).await.unwrap();
    assert!(store.trace(id(1)).await.unwrap().notices.is_empty(), "gone with the message");
    assert_eq!(store.due(at(99), 10).await.unwrap().len(), 1, "the mail is not");
}

async fn success_and_delay_are_noted_for_those_who_asked(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    store.intake_commit(asking(1, firma, &["SUCCESS", "SUCCESS,DELAY", "", "NEVER", "DELAY"])).await.unwrap();
    let noted = store.note_delays(at(1) + std::time::Duration::from_secs(86_400), at(50)).await.unwrap();
    assert_eq!(noted, 2);
    assert_eq!(store.note_delays(at(90_000), at(51)).await.unwrap(), 0, "once each");
    assert_eq!(open(store).await, [(1, NoticeKind::Delayed, vec![1, 4])]);
    claim(store, firma, 60).await;
    let via = |offers_dsn| {
        Some(Via { peer: "192.0.2.1:25".parse().unwrap(), tls: None, proof: "a beat".to_owned(), offers_dsn })
    };
    let done = |ordinals: &[u32], offers_dsn| Report {
        id: id(1),
        outcomes: ordinals.iter().map(|ordinal| (*ordinal, delivered())).collect(),
        via: via(offers_dsn),
    };
    store.report(vec![done(&[0, 2, 3], false), done(&[1, 4], true)], at(61)).await.unwrap();
    assert_eq!(open(store).await, [(1, NoticeKind::Delayed, vec![1, 4]), (1, NoticeKind::Relayed, vec![0])]);
    assert_eq!(store.open_cases(1).await.unwrap()[0].chunks, 0, "the content is gone");
}

async fn expiry_and_a_person_who_gives_up_are_told_too(engine: Engine) {
    let store = engine.store();
    let firma = account(store, "firma", 1).await.0;
    for number in 1..=2 {
        store.intake_commit(message(number, &[(firma, "a@firma.example")])).await.unwrap();
    }
    store.rule(id(1), Ruling::Fail, change(5)).await.unwrap();
    let terms = pulsemx::spool::ExpiryTerms::of_all(at(9), at(-9));
    store.expire(terms, at(10)).await.unwrap();
    assert_eq!(open(store).await, [(1, NoticeKind::Failed, vec![0]), (2, NoticeKind::Failed, vec![0])]);
}

async fn a_mail_waits_is_tried_and_ends(mut engine: Engine) {
    let domain = name("elsewhere.example");
    assert!(engine.store().enqueue(mail("a"), at(1)).await.unwrap());
    assert!(!engine.store().enqueue(mail("a"), at(2)).await.unwrap(), "the same tag");
    assert!(engine.store().enqueue(mail("b"), at(3)).await.unwrap());
    engine.restart();
    let store = engine.store();
    assert!(store.is_made("a").await.unwrap() && !store.is_made("c").await.unwrap());
    let due = store.due(at(10), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    store.settle_mail(due[0].id, MailEnd::Later { until: at(20), why: "busy".to_owned() }, at(10)).await.unwrap();
    store.settle_mail(due[1].id, MailEnd::Sent("250 ok".to_owned()), at(10)).await.unwrap();
    assert!(store.due(at(19), 10).await.unwrap().is_empty());
    let again = store.due(at(20), 10).await.unwrap();
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, due[0].id, 1));
    store.settle_mail(again[0].id, MailEnd::GivenUp("no".to_owned()), at(21)).await.unwrap();
    let rows = store.outgoing(None, 10).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.is_sent, row.due_at, row.reply.clone().unwrap())).collect();
    assert_eq!(shown, [(true, None, "250 ok".to_owned()), (false, None, "no".to_owned())]);
    assert_eq!(store.outgoing(Some(id(2)), 10).await.unwrap(), []);
    assert_eq!(store.made_for(&domain, at(2)).await.unwrap(), 1);
    assert_eq!(store.made_for(&domain, at(0)).await.unwrap(), 2);
    assert_eq!(store.purge_outgoing(at(21)).await.unwrap(), 1);
    assert_eq!(store.outgoing(None, 10).await.unwrap().len(), 1);
}

async fn attempts_are_traced_with_their_connection(mut engine: Engine) {
    let firma = account(engine.store(), "firma", 1).await.0;
    engine.store().intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    let via = Via {
        peer: "192.0.2.1:25".parse().unwrap(),
        tls: Some("TLSv1_3".to_owned()),
        proof: "its key".to_owned(),
        offers_dsn: true,
    };
    for (outcome, second) in [(deferred(12), 11), (Outcome::Returned, 13), (delivered(), 20)] {
        claim(engine.store(), firma, second).await;
        let report = Report { id: id(1), outcomes: vec![(0, outcome)], via: Some(via.clone()) };
        engine.store().report(vec![report], at(second)).await.unwrap();
    }
    engine.restart();
    let attempts = engine.store().trace(id(1)).await.unwrap().attempts;
    let shown: Vec<_> = attempts.iter().map(|row| (row.number, row.at, row.result.as_str())).collect();
    assert_eq!(shown, [(1, at(11), "deferred"), (2, at(20), "delivered")]);
    assert_eq!(attempts[0].reply.code, Some(451));
    assert_eq!(attempts[1].peer.as_deref(), Some("192.0.2.1:25"));
    assert_eq!((attempts[1].tls.as_deref(), attempts[1].proof.as_deref()), (Some("TLSv1_3"), Some("its key")));
}

async fn choices_of_an_account_survive(mut engine: Engine) {
    let firma = account(engine.store(), "firma", 1).await.0;
    let chosen = Preferences {
        alert_address: Mailbox::parse("chef@privat.example", false).ok(),
        rewrite: Some(Rewrite { from: name("firma.dyn.example"), to: name("firma.example") }),
        ..Preferences::default()
    };
    let store = engine.store();
    store.set_preferences(firma, chosen.clone(), "account.alert firma".to_owned(), change(1)).await.unwrap();
    assert!(
        store.set_preferences(pulsemx::base::AccountId(99), chosen.clone(), String::new(), change(1)).await.is_err()
    );
    engine.restart();
    let directory = engine.store().load_directory(at(2)).await.unwrap();
    assert_eq!(directory.preferences(firma), &chosen);
    assert_eq!(directory.preferences(pulsemx::base::AccountId(99)), &Preferences::default());
    assert_eq!(engine.store().audit(Some(firma), 1).await.unwrap()[0].what, "account.alert firma");
}
