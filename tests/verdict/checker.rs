//! Checks run in the background.

use std::sync::Arc;
use std::time::Duration;

use pulsemx::account::{AccountStore, Change, DirectoryHandle, Preferences};
use pulsemx::base::{AccountId, Clock, SpoolId};
use pulsemx::verdict::driver::CheckRooms;
use pulsemx::verdict::lanes::SLOW_PER_SENDER_MAX;
use pulsemx::verdict::settings::{CHECKS_AT_ONCE, QUEUE_MAX};
use pulsemx::verdict::{Checker, Finding, Settings, Verdict, VerdictStore};
use tokio_util::sync::CancellationToken;

use crate::dns::{Zone, silent};
use crate::mail::{Spool, hostname, settings};

const CONTENT: &str = "From: a@sender.example\r\n\r\nhello\r\n";

fn start(spool: &Spool, settings: Settings) -> Arc<Checker> {
    start_with(spool, settings, DirectoryHandle::default())
}

fn start_with(spool: &Spool, settings: Settings, directory: DirectoryHandle) -> Arc<Checker> {
    let rooms = CheckRooms { spool: Arc::clone(&spool.store) as _, verdicts: Arc::clone(&spool.store) as _, directory };
    Checker::start(settings, hostname(), rooms, CancellationToken::new()).unwrap().unwrap()
}

/// The verdict, once there is one.
async fn verdict(spool: &Spool, id: SpoolId) -> Verdict {
    loop {
        if let Some(verdict) = spool.store.verdict(id).await.unwrap() {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Until so many checks are over.
async fn finished(checker: &Checker, checks: u64) {
    while checker.counts().checked + checker.counts().failed < checks {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_stored_message_gets_its_verdict_and_one_from_this_machine_is_not_asked_about() {
    let server = Zone::default().txt("sender.example", "v=spf1 ip4:192.0.2.25 -all").serve().await;
    let mut spool = Spool::new().await;
    let early = spool.add("192.0.2.25", "a@sender.example", CONTENT).await;
    let checker = start(&spool, settings(&server));
    assert_eq!(verdict(&spool, early.id).await.spf.finding, Finding::Pass, "came before the start");
    let local = spool.add("127.0.0.1", "a@sender.example", CONTENT).await;
    assert!(!checker.wants(local.peer) && checker.wants(early.peer));
    checker.note(local.clone());
    let later = spool.add("192.0.2.99", "a@sender.example", CONTENT).await;
    checker.note(later.clone());
    assert_eq!(verdict(&spool, later.id).await.spf.finding, Finding::Fail);
    finished(&checker, 2).await;
    assert_eq!(spool.store.verdict(local.id).await.unwrap(), None);
    let counts = checker.counts();
    assert_eq!((counts.checked, counts.postponed, counts.failed), (2, 0, 0), "the local one was never taken up");
    let asked = server.names_asked();
    let is_asked = |name: &str| asked.iter().any(|known| known == name);
    assert!(is_asked("25.2.0.192.in-addr.arpa") && is_asked("99.2.0.192.in-addr.arpa"), "{asked:?}");
    assert!(!is_asked("1.0.0.127.in-addr.arpa"), "{asked:?}");
}

#[tokio::test]
async fn a_resolver_that_does_not_answer_leaves_a_temperror_on_each_message() {
    let (address, _socket) = silent().await;
    let settings = Settings {
        resolvers: vec![address],
        question_timeout: Duration::from_millis(200),
        message_timeout: Duration::from_secs(1),
        ..Settings::default()
    };
    let mut spool = Spool::new().await;
    let checker = start(&spool, settings);
    let mut ids = Vec::new();
    for _ in 0..50 {
        let subject = spool.add("192.0.2.25", "a@sender.example", CONTENT).await;
        ids.push(subject.id);
        checker.note(subject);
    }
    for id in ids {
        let verdict = verdict(&spool, id).await;
        assert_eq!((verdict.spf.finding, verdict.iprev.finding), (Finding::TempError, Finding::TempError));
        assert_eq!((verdict.dmarc.finding, verdict.spf.domain.as_str()), (Finding::TempError, "sender.example"));
    }
    finished(&checker, 50).await;
    // Those that the look back found as well were checked twice.
    let counts = checker.counts();
    assert!(counts.checked >= 50 && (counts.postponed, counts.failed) == (0, 0), "{counts:?}");
}

/// More messages than there are places wait for a name server that is silent; another sender's verdict comes before
/// those of them that are waited for, and the rest is not waited for.
#[tokio::test]
async fn a_silent_zone_holds_up_nobody_else() {
    const FLOOD: usize = 40;
    let zone = Zone::default().txt("sender.example", "v=spf1 ip4:192.0.2.25 -all").silent("slow.example");
    let server = zone.pointer("192.0.2.25", "mail.sender.example").serve().await;
    let mut spool = Spool::new().await;
    let checker = start(&spool, Settings { question_timeout: Duration::from_secs(3), ..settings(&server) });
    let mut slow = Vec::new();
    for number in 0..FLOOD {
        // The name of its address, which is asked for each, is one that is answered.
        let subject = spool.add("192.0.2.66", &format!("a@d{number}.slow.example"), CONTENT).await;
        slow.push(subject.id);
        checker.note(subject);
    }
    let honest = spool.add("192.0.2.25", "a@sender.example", CONTENT).await;
    checker.note(honest.clone());
    assert_eq!(verdict(&spool, honest.id).await.spf.finding, Finding::Pass);
    // All of these had a place before it: without lanes it would have come after the last of them.
    let mut open = 0;
    for id in &slow[..CHECKS_AT_ONCE] {
        match spool.store.verdict(*id).await.unwrap() {
            Some(verdict) => assert_eq!(verdict.spf.finding, Finding::TempError),
            None => open += 1,
        }
    }
    assert_eq!(open, SLOW_PER_SENDER_MAX, "of the first {CHECKS_AT_ONCE}");
}

#[tokio::test]
async fn what_found_no_place_in_the_queue_is_checked_later() {
    let server = Zone::default().txt("sender.example", "v=spf1 ip4:192.0.2.25 -all").serve().await;
    let mut spool = Spool::new().await;
    let checker = start(&spool, settings(&server));
    let mut ids = Vec::new();
    // Nothing runs between these on one thread: the queue fills up.
    for _ in 0..QUEUE_MAX + 10 {
        let subject = spool.add("192.0.2.25", "a@sender.example", CONTENT).await;
        ids.push(subject.id);
        checker.note(subject);
    }
    assert_eq!(checker.counts().postponed, 10);
    for id in ids {
        assert_eq!(verdict(&spool, id).await.spf.finding, Finding::Pass);
    }
    assert_eq!(checker.counts().failed, 0);
}

/// What an account names holds for its own mail, and for a message to several only if all of them name it.
#[tokio::test]
async fn a_customers_forwarder_is_not_judged_by_spf_for_his_mail_and_is_for_that_of_others() {
    let server = Zone::default().txt("sender.example", "v=spf1 ip4:192.0.2.25 -all").serve().await;
    let mut spool = Spool::new().await;
    let chosen = Preferences { forwarders: vec!["198.51.100.0/24".parse().unwrap()], ..Preferences::default() };
    let change = Change { at: Clock.wall(), who: "test".to_owned() };
    spool.store.set_preferences(spool.account, chosen, "account.forwarders".to_owned(), change).await.unwrap();
    let directory = DirectoryHandle::new(spool.store.load_directory(Clock.wall()).await.unwrap());
    let checker = start_with(&spool, settings(&server), directory);
    let other = AccountId(spool.account.0 + 1);
    for (peer, accounts, finding) in [
        ("198.51.100.7", vec![spool.account], Finding::None),
        ("192.0.2.99", vec![spool.account], Finding::Fail),
        ("198.51.100.7", vec![spool.account, other], Finding::Fail),
        ("198.51.100.7", vec![other], Finding::Fail),
        ("198.51.100.7", vec![], Finding::Fail),
    ] {
        let mut subject = spool.add(peer, "a@sender.example", CONTENT).await;
        subject.accounts = accounts;
        checker.note(subject.clone());
        let verdict = verdict(&spool, subject.id).await;
        let is_spared = finding == Finding::None;
        assert_eq!((verdict.spf.finding, verdict.is_forwarded), (finding, is_spared), "{subject:?}");
    }
}
