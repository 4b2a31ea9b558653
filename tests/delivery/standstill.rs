//! What must not bring delivery to a standstill: dead lines, poisoned mail, odd clocks, faults of ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pulsemx::base::Clock;
use pulsemx::delivery::{Flushes, RetryTimes, Settings, Timeouts};
use pulsemx::liveness::LineState;
use pulsemx::spool::RecipientState::{Delivered, Queued, Refused};

use crate::support::{Act, Heard, Mail, Primary, World, polite, say};

const ONE: &[&str] = &["a@firma.example"];

/// The limits of RFC 5321, and waits that no test lives to see.
fn patient(settings: &mut Settings, _: &Primary) {
    settings.timeouts = Timeouts::default();
    settings.retry = RetryTimes::new(vec![Duration::from_secs(3600)]);
}

/// Says nothing where `hangs` says so.
async fn hanging(hangs: fn(&Heard) -> bool) -> World {
    World::with(move |_, heard| if hangs(heard) { Act::Nothing } else { polite(heard, &[]) }, patient).await
}

/// The customer's server at its next address.
async fn next_address(world: &World) -> Primary {
    let at = SocketAddr::new("127.0.0.2".parse().unwrap(), world.primary.address.port());
    Primary::start(at, world.bell.clone(), Arc::new(|_: usize, heard: &Heard| polite(heard, &[]))).await
}

fn is_mail(heard: &Heard) -> bool {
    matches!(heard, Heard::Line(line) if line.starts_with("MAIL"))
}

#[tokio::test]
async fn a_conversation_that_hangs_at_mail_moves_with_the_address() {
    let world = hanging(is_mail).await;
    let moved = next_address(&world).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the hanging MAIL", || world.primary.count("MAIL") == 1).await;
    world.lines.move_to(moved.address.ip());
    world.until_all(Delivered).await;
    assert_eq!(moved.contents().len(), 1);
    assert_eq!(world.spool.attempts(id), 1, "what hung was no attempt");
}

#[tokio::test]
async fn a_message_whose_final_reply_is_lost_with_the_line_goes_to_the_next_address_at_once() {
    let world = hanging(|heard| *heard == Heard::Content).await;
    let moved = next_address(&world).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the dot", || world.primary.contents().len() == 1).await;
    world.lines.move_to(moved.address.ip());
    world.until_all(Delivered).await;
    assert_eq!(moved.contents().len(), 1);
    assert_eq!(world.spool.attempts(id), 2, "the server may have it: an attempt");
}

#[tokio::test]
async fn a_conversation_ends_with_its_line_and_waits_on_while_it_is_only_doubtful() {
    let world = hanging(is_mail).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the hanging MAIL", || world.primary.count("MAIL") == 1).await;
    world.lines.edit(|view| view.state = LineState::Suspect);
    world.lines.heal();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!world.spool.all_are(Queued), "a doubt that heals ends nothing");
    world.lines.become_state(LineState::Offline, world.primary.address.ip());
    world.bell.until("the message given back", || world.spool.all_are(Queued)).await;
    assert_eq!(world.spool.attempts(id), 0);
}

#[tokio::test]
async fn mail_that_is_always_deferred_does_not_hold_up_the_mail_behind_it() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL FROM:<poison@") => say("451 4.3.0 never"),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    for id in 1..=6 {
        world.spool.store(&Mail { id, from: "poison@a.example", to: ONE, content: b"x\r\n" });
    }
    let good = world.store(7, ONE, b"good\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the good one", || world.spool.states(good) == [Delivered]).await;
    assert!((1..=6).all(|id| world.spool.attempts(pulsemx::base::SpoolId::from_i64(id)) <= 2));
}

#[tokio::test]
async fn refused_senders_at_the_head_of_the_queue_do_not_hold_the_account() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL FROM:<bad") => say("550 5.7.1 no such sender"),
        heard => polite(heard, &[]),
    })
    .await;
    let bad: Vec<_> = [(1, "bad1@a.example"), (2, "bad2@a.example")]
        .map(|(id, from)| world.spool.store(&Mail { id, from, to: ONE, content: b"x\r\n" }))
        .into();
    let good = world.store(3, ONE, b"good\r\n");
    world.come_back();
    world.bell.until("the good one", || world.spool.states(good) == [Delivered]).await;
    world.bell.until("refusals", || bad.iter().all(|id| world.spool.states(*id) == [Refused])).await;
    assert!(bad.iter().all(|id| world.spool.attempts(*id) == 1), "the hold was no attempt");
}

#[tokio::test]
async fn one_refused_sender_and_a_deferral_refuse_no_mail_of_a_server_that_accepts_nothing() {
    let world = World::with(
        |_, heard| match heard {
            Heard::Line(line) if line.starts_with("MAIL FROM:<later@") => say("451 4.3.0 later"),
            Heard::Line(line) if line.starts_with("MAIL") => say("550 5.7.1 blocked"),
            heard => polite(heard, &[]),
        },
        |settings, _| settings.retry = RetryTimes::new(vec![Duration::from_secs(3600)]),
    )
    .await;
    for (id, from) in [(1, "a@a.example"), (2, "later@a.example"), (3, "b@a.example")] {
        world.spool.store(&Mail { id, from, to: ONE, content: b"x\r\n" });
    }
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the hold", || world.view().last_problem.is_some()).await;
    assert!(world.spool.all_are(Queued));
}

#[tokio::test]
async fn mail_that_was_deferred_while_the_clock_was_ahead_does_not_sleep() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.spool.defer(id, Clock.wall() + chrono::TimeDelta::days(300));
    world.lines.become_state(LineState::Returning, world.primary.address.ip());
    world.until_all(Delivered).await;
    let late = world.store(2, ONE, b"x\r\n");
    world.spool.defer(late, Clock.wall() + chrono::TimeDelta::days(300));
    world.deliveries.mail_stored(&[crate::support::ACCOUNT]);
    world.until_all(Delivered).await;
}

#[tokio::test]
async fn a_fault_of_ours_costs_neither_the_mail_it_held_nor_the_return() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    world.store(1, ONE, b"x\r\n");
    world.spool.panicking_claims.store(true, Ordering::SeqCst);
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.until_all(Delivered).await;
}

/// A world whose only message was deferred for an hour.
async fn deferred() -> World {
    let world = World::with(
        |connection, heard| if connection == 0 && is_mail(heard) { say("451 later") } else { polite(heard, &[]) },
        patient,
    )
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("the deferral", || world.spool.attempts(id) == 1).await;
    world.bell.until("the end of the connection", || world.primary.count("QUIT") == 1).await;
    world
}

#[tokio::test]
async fn a_move_that_is_heard_while_the_line_is_doubtful_is_not_forgotten() {
    let world = deferred().await;
    world.lines.edit(|view| view.state = LineState::Suspect);
    world.lines.move_to(world.primary.address.ip());
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    world.lines.heal();
    world.until_all(Delivered).await;
}

#[tokio::test]
async fn a_return_among_lost_events_still_makes_mail_due() {
    let world = deferred().await;
    // More than the channel holds, while nobody reads.
    for _ in 0..40 {
        world.lines.heal();
    }
    world.until_all(Delivered).await;
}
