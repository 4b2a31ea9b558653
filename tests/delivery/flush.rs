//! What starts, stops and repeats a delivery.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pulsemx::account::AccountStatus;
use pulsemx::base::Clock;
use pulsemx::delivery::Flushes;
use pulsemx::liveness::LineState;
use pulsemx::spool::RecipientState::{Claimed, Delivered, Queued, Refused};

use crate::support::{ACCOUNT, Act, Heard, Mail, Primary, TRACE, World, directory, polite, say};

const ONE: &[&str] = &["a@firma.example"];

#[tokio::test]
async fn a_return_delivers_everything_oldest_first_on_one_connection_within_2_s() {
    let world = World::new(|_, heard| polite(heard, &["PIPELINING", "SIZE 0"])).await;
    for id in (1..=120).rev() {
        world.store(id, ONE, format!("{id}\r\n").as_bytes());
    }
    world.come_back();
    world.until_all(Delivered).await;
    world.bell.until("a summary", || world.view().last.is_some()).await;
    let expected: Vec<Vec<u8>> = (1..=120).map(|id| [TRACE, format!("{id}\r\n").as_bytes()].concat()).collect();
    assert_eq!(world.primary.contents(), expected);
    assert_eq!(world.primary.connections(), 1);
    let last = world.view().last.unwrap();
    assert_eq!((last.delivered, last.deferred, last.refused), (120, 0, 0));
    assert!(last.first_delivery_after.unwrap() < Duration::from_secs(2), "{last:?}");
    world.bell.until("QUIT", || world.primary.count("QUIT") == 1).await;
}

#[tokio::test]
async fn a_returning_primary_is_called_even_if_nothing_waits() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    world.come_back();
    world.bell.until("the call", || world.primary.count("QUIT") == 1).await;
    assert_eq!(world.lines.greeted.load(Ordering::SeqCst), 1);
    assert_eq!(world.primary.count("MAIL"), 0);
}

#[tokio::test]
async fn new_mail_leaves_at_once_while_the_line_is_online() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    let id = world.store(1, ONE, b"x\r\n");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.bell.until("delivery", || world.spool.states(id) == [Delivered]).await;
}

#[tokio::test]
async fn no_mail_command_is_sent_once_the_beat_is_too_old() {
    let world = std::sync::Arc::new(World::new(|_, heard| polite(heard, &[])).await);
    world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.lines.edit(|view| view.last_beat = Some(Clock.monotonic() - Duration::from_secs(21)));
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.shutdown.cancel();
    assert!(world.deliveries.drain().await);
    assert_eq!(world.primary.count("MAIL"), 0);
    assert!(world.spool.all_are(Queued));
}

#[tokio::test]
async fn a_line_that_changes_between_two_messages_stops_before_the_next_mail() {
    for change in 0..3 {
        let slot = std::sync::Arc::new(std::sync::OnceLock::<std::sync::Arc<crate::support::FakeLines>>::new());
        let in_manner = std::sync::Arc::clone(&slot);
        let world = World::new(move |_, heard| {
            if *heard == Heard::Content {
                in_manner.get().unwrap().edit(|view| match change {
                    0 => view.last_beat = Some(Clock.monotonic() - Duration::from_secs(21)),
                    1 => view.address = Some("127.0.0.77".parse().unwrap()),
                    _ => view.state = LineState::Suspect,
                });
            }
            polite(heard, &["PIPELINING"])
        })
        .await;
        assert!(slot.set(std::sync::Arc::clone(&world.lines)).is_ok());
        let first = world.store(1, ONE, b"1\r\n");
        let second = world.store(2, ONE, b"2\r\n");
        world.come_back();
        world
            .bell
            .until("the stop", || world.spool.states(first) == [Delivered] && world.spool.states(second) == [Queued])
            .await;
        world.shutdown.cancel();
        assert!(world.deliveries.drain().await);
        assert_eq!(world.primary.count("MAIL"), 1, "change {change}");
        assert_eq!(world.spool.attempts(second), 0);
    }
}

#[tokio::test]
async fn a_primary_that_is_not_there_yet_is_called_again() {
    let world = World::new(|connection, heard| match heard {
        Heard::Connect if connection < 2 => Act::Close,
        heard => polite(heard, &[]),
    })
    .await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.connections(), 3);
    assert_eq!(world.lines.greeted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_suspended_account_keeps_its_mail_and_its_primary_is_still_called() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    world.directory.replace(directory(world.primary.address.port(), AccountStatus::Suspended));
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("the call", || world.primary.count("QUIT") == 1).await;
    assert_eq!(world.primary.count("MAIL"), 0);
    assert!(world.spool.all_are(Queued));
    world.directory.replace(directory(world.primary.address.port(), AccountStatus::Leaving));
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.until_all(Delivered).await;
}

#[tokio::test]
async fn an_outcome_that_cannot_be_written_is_kept_and_nothing_more_is_claimed() {
    let world = World::new(|_, heard| polite(heard, &["PIPELINING"])).await;
    let first = world.store(1, ONE, b"1\r\n");
    world.store(2, ONE, b"2\r\n");
    world.spool.failing_reports.store(2, Ordering::SeqCst);
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.contents().len(), 2, "nothing was sent twice");
    assert_eq!(world.spool.attempts(first), 1);
}

#[tokio::test]
async fn shutdown_finishes_the_running_message_and_returns_the_rest() {
    let token = std::sync::Arc::new(std::sync::OnceLock::<tokio_util::sync::CancellationToken>::new());
    let in_manner = std::sync::Arc::clone(&token);
    let world = World::new(move |_, heard| {
        if *heard == Heard::Line("DATA".to_owned()) {
            in_manner.get().unwrap().cancel();
        }
        polite(heard, &["PIPELINING"])
    })
    .await;
    assert!(token.set(world.shutdown.clone()).is_ok());
    let first = world.store(1, ONE, b"1\r\n");
    let second = world.store(2, ONE, b"2\r\n");
    world.come_back();
    world.bell.until("the cancellation", || world.shutdown.is_cancelled()).await;
    assert!(world.deliveries.drain().await);
    assert_eq!(world.spool.states(first), [Delivered]);
    assert_eq!(world.spool.states(second), [Queued]);
    assert_eq!(world.primary.count("QUIT"), 1);
    assert!(!world.spool.all_are(Claimed));
}

#[tokio::test]
async fn a_server_that_greets_with_554_holds_everything_and_loses_nothing() {
    let world = World::new(|connection, heard| match heard {
        Heard::Connect if connection < 3 => Act::SayAndClose(b"554 go away\r\n".to_vec()),
        heard => polite(heard, &[]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("a problem on the page", || world.view().last_problem.is_some()).await;
    assert!(world.view().last_problem.unwrap().contains("554 go away"));
    assert_eq!(world.spool.attempts(id), 0);
    world.until_all(Delivered).await;
    world.bell.until("a cleared problem", || world.view().last_problem.is_none()).await;
}

#[tokio::test]
async fn a_server_that_refuses_two_senders_first_is_held_and_a_single_refused_sender_is_not() {
    let world = World::new(|connection, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL") && connection == 0 => say("550 5.7.1 blocked"),
        Heard::Line(line) if line.starts_with("MAIL FROM:<bad@") => say("550 5.7.1 no such sender"),
        heard => polite(heard, &[]),
    })
    .await;
    let bad = world.spool.store(&Mail { id: 1, from: "bad@a.example", to: ONE, content: b"1\r\n" });
    let good = world.store(2, ONE, b"2\r\n");
    world.come_back();
    world.bell.until("delivery", || world.spool.states(good) == [Delivered]).await;
    world.bell.until("refusal", || world.spool.states(bad) == [Refused]).await;
    assert_eq!(world.spool.attempts(good), 1, "the first contact counted for nobody");
    assert_eq!(world.spool.attempts(bad), 1);
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_when_the_address_changes() {
    // The old address takes the connection and never says anything; the limit for a greeting is 5 minutes.
    let patient = |settings: &mut pulsemx::delivery::Settings, _: &Primary| settings.timeouts = Default::default();
    let world = World::with(|_, _| Act::Nothing, patient).await;
    let at = std::net::SocketAddr::new("127.0.0.2".parse().unwrap(), world.primary.address.port());
    let manner = std::sync::Arc::new(|_: usize, heard: &Heard| polite(heard, &[]));
    let moved = Primary::start(at, world.bell.clone(), manner).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("the hanging call", || world.primary.connections() == 1).await;
    world.lines.move_to(at.ip());
    world.until_all(Delivered).await;
    assert_eq!(moved.contents().len(), 1);
    assert_eq!(world.spool.attempts(id), 1, "the hanging call was no attempt");
}

#[tokio::test]
async fn a_retry_by_a_person_ends_the_wait_of_the_account() {
    let hour = |settings: &mut pulsemx::delivery::Settings, _: &Primary| {
        settings.retry = pulsemx::delivery::RetryTimes::new(vec![Duration::from_secs(3600)]);
    };
    let world =
        World::with(|connection, heard| if connection == 0 { Act::Close } else { polite(heard, &[]) }, hour).await;
    world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("a problem on the page", || world.view().last_problem.is_some()).await;
    assert!(world.spool.all_are(Queued));
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.deliveries.retry(ACCOUNT);
    world.until_all(Delivered).await;
    assert_eq!(world.primary.connections(), 2);
}

#[tokio::test]
async fn a_server_that_closes_after_each_message_gets_the_next_one_at_once() {
    let hour = |settings: &mut pulsemx::delivery::Settings, _: &Primary| {
        settings.retry = pulsemx::delivery::RetryTimes::new(vec![Duration::from_secs(3600)]);
    };
    let used = std::sync::Mutex::new(std::collections::HashSet::new());
    let world = World::with(
        move |connection, heard| match heard {
            Heard::Line(line) if line.starts_with("MAIL") && !used.lock().unwrap().insert(connection) => Act::Close,
            heard => polite(heard, &[]),
        },
        hour,
    )
    .await;
    let ids: Vec<_> = (1..=3).map(|id| world.store(id, ONE, b"x\r\n")).collect();
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.until_all(Delivered).await;
    assert_eq!(world.primary.connections(), 3);
    assert!(ids.iter().all(|id| world.spool.attempts(*id) == 1), "nothing was deferred by the end of a connection");
}

#[tokio::test]
async fn a_server_that_wants_a_login_holds_the_mail() {
    let world = World::new(|connection, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL") && connection == 0 => say("530 5.7.0 log in first"),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.spool.attempts(id), 1);
    assert_eq!(world.primary.connections(), 2);
}

#[tokio::test]
async fn our_own_listener_is_never_delivered_to() {
    let own = |settings: &mut pulsemx::delivery::Settings, primary: &Primary| {
        settings.own_addresses = vec![std::net::SocketAddr::new("0.0.0.0".parse().unwrap(), primary.address.port())];
    };
    let world = World::with(|_, heard| polite(heard, &[]), own).await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("a problem on the page", || world.view().last_problem.is_some()).await;
    world.shutdown.cancel();
    assert!(world.deliveries.drain().await);
    assert_eq!(world.primary.connections(), 0);
    assert!(world.spool.all_are(Queued));
    assert!(world.view().last_problem.unwrap().ends_with("is this service itself"));
}

#[tokio::test]
async fn a_server_with_our_own_name_is_a_loop_and_gets_nothing() {
    let world = World::new(|connection, heard| match heard {
        Heard::Connect if connection == 0 => say("220 mx.pulse.example ESMTP"),
        heard => polite(heard, &[]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.spool.attempts(id), 1);
    assert_eq!(world.primary.connections(), 2);
}
