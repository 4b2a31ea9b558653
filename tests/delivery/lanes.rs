//! Several connections: how a flush grows, what one slow message does, what is written before a dot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pulsemx::delivery::Flushes;
use pulsemx::spool::RecipientState::{Claimed, Delivered};

use crate::support::{ACCOUNT, Act, Heard, Mail, TRACE, World, polite, say};

const ONE: &[&str] = &["a@firma.example"];

async fn world(lanes: usize, manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static) -> World {
    World::with(manner, |settings, _| settings.lanes_max = lanes).await
}

#[tokio::test]
async fn a_flush_begins_with_one_connection_and_grows_to_its_limit() {
    let delivered = Arc::new(AtomicUsize::new(0));
    let before_second = Arc::new(AtomicUsize::new(usize::MAX));
    let (count, seen) = (Arc::clone(&delivered), Arc::clone(&before_second));
    let world = world(4, move |connection, heard| {
        match heard {
            Heard::Connect if connection == 1 => seen.store(count.load(Ordering::SeqCst), Ordering::SeqCst),
            Heard::Content => {
                count.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        polite(heard, &["PIPELINING"])
    })
    .await;
    for id in 1..=400 {
        world.store(id, ONE, format!("{id}\r\n").as_bytes());
    }
    world.come_back();
    world.until_all(Delivered).await;
    assert!(before_second.load(Ordering::SeqCst) >= 1, "the second connection came before the first delivery");
    assert_eq!(world.primary.connections(), 4);
    let mut contents = world.primary.contents();
    contents.sort();
    let mut expected: Vec<Vec<u8>> = (1..=400).map(|id| [TRACE, format!("{id}\r\n").as_bytes()].concat()).collect();
    expected.sort();
    assert_eq!(contents, expected, "each once");
    world.bell.until("a summary", || world.view().last.is_some()).await;
    assert_eq!(world.view().last.unwrap().delivered, 400);
}

#[tokio::test]
async fn one_message_that_takes_long_holds_one_connection_and_no_other_mail() {
    let is_stuck = Arc::new(AtomicBool::new(true));
    let in_manner = Arc::clone(&is_stuck);
    let slow = Arc::new(AtomicUsize::new(usize::MAX));
    let world = world(4, move |connection, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL FROM:<slow@") => {
            slow.store(connection, Ordering::SeqCst);
            say("250 ok")
        }
        Heard::Content if slow.load(Ordering::SeqCst) == connection && in_manner.load(Ordering::SeqCst) => Act::Nothing,
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    for id in 1..=200 {
        let from = if id == 20 { "slow@a.example" } else { "s@a.example" };
        world.spool.store(&Mail { id, from, to: ONE, content: b"x\r\n" });
    }
    world.come_back();
    let left =
        || (1..=200).filter(|id| world.spool.states(pulsemx::base::SpoolId::from_i64(*id)) != [Delivered]).count();
    world.bell.until("all the others", || left() == 1).await;
    assert_eq!(world.spool.states(pulsemx::base::SpoolId::from_i64(20)), [Claimed]);
    drop(is_stuck);
}

#[tokio::test]
async fn a_server_that_takes_one_connection_only_gets_everything_over_that() {
    let world = world(4, |connection, heard| match heard {
        Heard::Connect if connection > 0 => Act::SayAndClose(b"421 4.7.0 too many connections\r\n".to_vec()),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    for id in 1..=150 {
        world.store(id, ONE, b"x\r\n");
    }
    world.come_back();
    world.until_all(Delivered).await;
    assert!(world.primary.connections() <= 3, "{} connections", world.primary.connections());
    assert_eq!(world.view().last_problem, None);
}

#[tokio::test]
async fn every_dot_is_noted_and_outcomes_are_written_before_the_next_dot() {
    let world = world(1, |_, heard| polite(heard, &["PIPELINING"])).await;
    for id in 1..=30 {
        world.store(id, ONE, b"x\r\n");
    }
    world.come_back();
    world.until_all(Delivered).await;
    let notes: Vec<i64> = world.spool.notes.lock().unwrap().iter().map(|id| id.as_i64()).collect();
    assert_eq!(notes, (1..=30).collect::<Vec<i64>>());
    let writes = world.spool.reports.load(Ordering::SeqCst);
    assert!((30..=33).contains(&writes), "one step for each message, and one at the end: {writes}");
}

#[tokio::test]
async fn what_cannot_be_noted_gets_no_dot() {
    let world = world(1, |_, heard| polite(heard, &["PIPELINING"])).await;
    world.spool.failing_reports.store(1, Ordering::SeqCst);
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.contents().len(), 1, "not sent before it was noted, and then once");
    assert_eq!(world.spool.attempts(id), 1);
    world.deliveries.retry(ACCOUNT);
}

#[tokio::test]
async fn a_panic_in_one_connection_ends_no_delivery() {
    let world = world(4, |_, heard| polite(heard, &["PIPELINING"])).await;
    for id in 1..=300 {
        world.store(id, ONE, b"x\r\n");
    }
    world.spool.panicking_claims.store(true, Ordering::SeqCst);
    world.come_back();
    world.until_all(Delivered).await;
}
