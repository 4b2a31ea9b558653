//! A primary that is broken: what it refuses is not believed, nothing is lost, one alarm is raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pulsemx::base::{AccountId, Clock, Mailbox, SpoolId};
use pulsemx::delivery::{AfterRefusal, Alarm, Flushes, RecipientWitness};
use pulsemx::spool::RecipientState::{Delivered, Queued, Refused};
use pulsemx::spool::{Hold, HoldKind};

use crate::support::{ACCOUNT, Heard, Mail, Spool, World, new_identity, polite, say};

const ONE: &[&str] = &["a@firma.example"];

/// A primary that refuses every recipient with these words while it is ill.
async fn ill(words: &'static str, lanes: usize) -> (World, Arc<AtomicBool>) {
    let is_ill = Arc::new(AtomicBool::new(true));
    let in_manner = Arc::clone(&is_ill);
    let manner = move |_: usize, heard: &Heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") && in_manner.load(Ordering::SeqCst) => say(words),
        Heard::Content if in_manner.load(Ordering::SeqCst) => say("554 5.5.1 no valid recipients"),
        heard => polite(heard, &["PIPELINING"]),
    };
    let edit = |settings: &mut pulsemx::delivery::Settings| {
        (settings.lanes_max, settings.after_refusal) = (lanes, AfterRefusal::Hold);
    };
    let world = World::with(manner, |settings, _| edit(settings)).await;
    (world, is_ill)
}

fn store_known(world: &World, count: i64) -> Vec<SpoolId> {
    (1..=count)
        .map(|id| {
            let to = format!("u{id}@firma.example");
            let id = world.spool.store(&Mail { id, from: "s@a.example", to: &[&to], content: b"x\r\n" });
            world.spool.know(id);
            id
        })
        .collect()
}

#[tokio::test]
async fn a_reinstalled_primary_that_refuses_everybody_loses_nothing_and_alarms_once() {
    for (words, lanes) in [("550 5.1.1 unknown user", 1), ("554 5.7.1 relay access denied", 1), ("550 no", 4)] {
        let (world, is_ill) = ill(words, lanes).await;
        let ids = store_known(&world, 60);
        world.come_back();
        world.bell.until("the hold", || world.view().hold.is_some()).await;
        world.bell.until("several tries", || world.primary.connections() >= 4).await;
        let hold = world.view().hold.unwrap();
        assert_eq!(hold.kind, HoldKind::Breaker);
        assert!(hold.reason.contains(words), "{}", hold.reason);
        assert_eq!(world.spool.hold.lock().unwrap().as_ref().map(|hold| hold.kind), Some(HoldKind::Breaker));
        assert!(ids.iter().all(|id| world.spool.states(*id) != [Refused]), "{words}: nothing is settled");
        let refused = world.primary.count("RCPT");
        assert!(refused < 30, "{words}: {refused} recipients were tried although the server is broken");
        is_ill.store(false, Ordering::SeqCst);
        world.until_all(Delivered).await;
        let alarms = world.alarms();
        let broken = alarms.iter().filter(|alarm| matches!(alarm, Alarm::Broken { .. })).count();
        let well = alarms.iter().filter(|alarm| matches!(alarm, Alarm::Well { .. })).count();
        assert_eq!((broken, well), (1, 1), "{words}: {alarms:?}");
        assert_eq!(world.view().hold, None);
        assert_eq!(*world.spool.hold.lock().unwrap(), None);
        assert_eq!(world.primary.contents().iter().filter(|content| !content.is_empty()).count(), 60, "none twice");
    }
}

#[tokio::test]
async fn unverified_recipients_and_spam_open_nothing() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT TO:<guess") => say("550 5.1.1 unknown user"),
        Heard::Line(line) if line.starts_with("RCPT TO:<blocked") => say("550 5.7.1 you are on a list"),
        Heard::Content => say("554 5.7.1 spam"),
        heard => polite(heard, &[]),
    })
    .await;
    for id in 1..=30 {
        let to = [format!("guess{id}@firma.example"), format!("known{id}@firma.example")];
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let id = world.spool.store(&Mail { id, from: "s@a.example", to: &to, content: b"x\r\n" });
        world.spool.edit(id, |message| message.recipients[1].is_known_good = true);
    }
    world.come_back();
    world.until_all(Refused).await;
    assert_eq!(world.view().hold, None);
    assert!(world.alarms().iter().all(|alarm| !matches!(alarm, Alarm::Broken { .. })));
}

#[tokio::test]
async fn every_refusal_just_after_a_return_is_held_until_the_trial_is_over() {
    for stage in ["MAIL FROM:<bad", "RCPT", "DATA", ""] {
        let said = AtomicU32::new(0);
        let manner = move |_: usize, heard: &Heard| match heard {
            Heard::Line(line) if !stage.is_empty() && line.starts_with(stage) => say("550 5.7.1 no"),
            Heard::Content if stage.is_empty() && said.fetch_add(1, Ordering::SeqCst) == 0 => say("554 5.7.1 spam"),
            heard => polite(heard, &[]),
        };
        let world = World::with(manner, |settings, _| settings.after_refusal = AfterRefusal::Hold).await;
        let bad = world.spool.store(&Mail { id: 1, from: "bad@a.example", to: ONE, content: b"x\r\n" });
        world.store(2, ONE, b"larger\r\n");
        let before = Clock.wall();
        world.come_back();
        world.bell.until("an outcome", || world.spool.attempts(bad) == 1).await;
        assert_eq!(world.spool.states(bad), [Queued], "{stage}");
        let wait = world.spool.due(bad).unwrap() - before;
        assert!((590..=610).contains(&wait.num_seconds()), "{stage}: {wait}");
        assert_eq!(world.spool.reply(bad, 0).unwrap().code.map(|code| code / 100), Some(5), "{stage}");
    }
}

#[tokio::test]
async fn a_known_recipient_that_is_refused_alone_is_asked_for_hourly() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") => say("550 5.1.1 unknown"),
        heard => polite(heard, &[]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.spool.know(id);
    let before = Clock.wall();
    world.come_back();
    world.bell.until("an outcome", || world.spool.attempts(id) == 1).await;
    assert_eq!(world.spool.states(id), [Queued]);
    assert!((world.spool.due(id).unwrap() - before).num_seconds() >= 3590);
}

#[tokio::test]
async fn a_hold_of_before_the_start_is_in_force_and_a_person_ends_it() {
    let hold = Hold { kind: HoldKind::Operator, reason: "wait".to_owned(), since: Clock.wall() };
    let stored = Some(hold.clone());
    let before = move |spool: &Spool| *spool.hold.lock().unwrap() = stored;
    let manner = |_: usize, heard: &Heard| polite(heard, &[]);
    let world = World::with_spool(new_identity("primary.example"), manner, |_, _| {}, before).await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("the call", || world.primary.count("QUIT") == 1).await;
    assert_eq!(world.primary.count("MAIL"), 0, "the server is called and gets nothing");
    assert_eq!(world.view().hold, Some(hold));
    world.deliveries.hold(ACCOUNT, None);
    world.until_all(Delivered).await;
}

#[tokio::test]
async fn a_primary_that_greylists_the_first_message_is_left_alone() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") => say("450 4.2.0 Greylisted, see you later"),
        heard => polite(heard, &[]),
    })
    .await;
    for id in 1..=3 {
        world.store(id, ONE, b"x\r\n");
    }
    world.come_back();
    world.bell.until("the notice", || world.view().last_problem.is_some()).await;
    assert!(world.view().last_problem.unwrap().contains("greylist"));
    assert!(matches!(&world.alarms()[..], [Alarm::Greylisted { .. }]));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.primary.count("MAIL"), 1, "the others would meet the same");
    assert!(world.spool.all_are(Queued));
}

#[tokio::test]
async fn a_server_whose_disk_is_full_gets_nothing_more_for_now() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL") => say("452 4.3.1 disk full"),
        heard => polite(heard, &[]),
    })
    .await;
    for id in 1..=3 {
        world.store(id, ONE, b"x\r\n");
    }
    world.come_back();
    world.bell.until("the problem", || world.view().last_problem.is_some()).await;
    assert!(world.view().last_problem.unwrap().contains("disk is full"));
    assert_eq!(
        world.primary.lines().iter().take_while(|line| *line != "QUIT").filter(|l| l.starts_with("MAIL")).count(),
        1
    );
}

#[tokio::test]
async fn a_server_that_refuses_all_for_one_gets_them_one_by_one() {
    let in_transaction = Arc::new(std::sync::Mutex::new(Vec::new()));
    let manner = move |_: usize, heard: &Heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL") => {
            in_transaction.lock().unwrap().clear();
            say("250 ok")
        }
        Heard::Line(line) if line.starts_with("RCPT") => {
            in_transaction.lock().unwrap().push(line.clone());
            say("250 ok")
        }
        Heard::Content if in_transaction.lock().unwrap().iter().any(|to| to.contains("who@")) => {
            say("550 5.1.10 recipient not found")
        }
        heard => polite(heard, &["PIPELINING"]),
    };
    let world = World::new(manner).await;
    let id = world.store(1, &["a@firma.example", "who@firma.example", "b@firma.example"], b"x\r\n");
    world.come_back();
    world.bell.until("outcomes", || world.spool.states(id) == [Delivered, Refused, Delivered]).await;
    assert_eq!(world.spool.attempts(id), 1);
    let before = world.primary.count("MAIL");
    let second = world.store(2, &["a@firma.example", "b@firma.example"], b"y\r\n");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.bell.until("the next one", || world.spool.states(second) == [Delivered, Delivered]).await;
    assert_eq!(world.primary.count("MAIL") - before, 2, "its manner is remembered");
}

/// The customer's list names everybody.
pub(crate) struct Listed;

impl RecipientWitness for Listed {
    fn handle_recipient(&self, _: AccountId, _: &Mailbox, _: bool) {}
    fn is_known_good(&self, _: AccountId, _: &Mailbox) -> bool {
        true
    }
}

#[tokio::test]
async fn what_the_customer_listed_is_known_though_nothing_was_delivered_there_yet() {
    for is_listed in [true, false] {
        let (world, _is_ill) = ill("550 5.1.1 unknown user", 1).await;
        if is_listed {
            world.deliveries.tell_of_recipients(Arc::new(Listed));
        }
        for id in 1..=20 {
            world.store(id, &[&format!("u{id}@firma.example")], b"x\r\n");
        }
        world.come_back();
        if is_listed {
            world.bell.until("the hold", || world.view().hold.is_some()).await;
            assert!(world.primary.count("RCPT") < 15);
        } else {
            world.bell.until("all were tried", || world.primary.count("RCPT") >= 20).await;
            assert_eq!(world.view().hold, None);
        }
    }
}

#[tokio::test]
async fn a_persons_hold_stops_a_flush_that_is_under_way() {
    let world = World::new(|_, heard| polite(heard, &["PIPELINING"])).await;
    for id in 1..=400 {
        world.store(id, ONE, b"x\r\n");
    }
    world.come_back();
    world.bell.until("the flush is under way", || world.primary.contents().len() >= 5).await;
    let hold = Hold { kind: HoldKind::Operator, reason: "maintenance".to_owned(), since: Clock.wall() };
    world.deliveries.hold(ACCOUNT, Some(hold));
    let at_the_hold = world.primary.contents().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let later = world.primary.contents().len();
    assert!(later <= at_the_hold + 8, "{later} instead of {at_the_hold}: what is under way ends, nothing begins");
    assert!(later < 400);
}
