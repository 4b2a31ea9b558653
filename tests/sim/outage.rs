//! A line that falls silent, and one that only loses datagrams.

use std::time::Duration;

use pulsemx::heartbeat::client::ClientEvent;
use pulsemx::heartbeat::datagram::ClientDatagram;
use pulsemx::liveness::{Cause, LineState};

use crate::world::{Dice, World};

const OUTAGES: u64 = 2_000;

#[test]
fn silence_is_offline_within_20_s_of_the_last_beat_and_never_before_the_third_miss() {
    for seed in 0..OUTAGES {
        let mut world = World::online(seed);
        world.loss_per_mille = world.dice.range(0, 100);
        world.latency_ms = (1, world.dice.range(2, 400));
        let quiet = world.dice.range(0, 20_000);
        world.run_for(quiet);
        assert_eq!(world.states().len(), 2, "false alarm, seed {seed}: {:?}", world.states());
        world.is_line_up = false;
        let is_over = world.run_until(25_000, |world| world.states().len() > 2);
        assert!(is_over, "never offline, seed {seed}");
        let (at, from, to, cause) = world.states()[2];
        assert_eq!((from, to, cause), (LineState::Online, LineState::Offline, Cause::MissedBeats), "seed {seed}");
        assert!(at <= world.newest_arrived + 20_000, "seed {seed}: {at} after {}", world.newest_arrived);
        let base = world.line().last_beat.unwrap().as_millis();
        assert!(at >= base + 15_000, "seed {seed}: {at} before the third miss after {base}");
        let away = world.dice.range(0, 90_000);
        world.run_for(away);
        (world.is_line_up, world.loss_per_mille) = (true, 0);
        let is_back = world.run_until(12_000, |world| world.line().state == LineState::Online);
        assert!(is_back, "not back at {}, seed {seed}, loss {}: {:?}", world.now, world.loss_per_mille, world.states());
    }
}

#[test]
fn two_lost_beats_never_neutralise_and_leave_no_row() {
    for seed in 0..500 {
        let mut world = World::online(seed);
        world.latency_ms = (1, world.dice.range(2, 1_500));
        let quiet = world.dice.range(0, 12_000);
        world.run_for(quiet);
        // Down from the moment after one beat was answered until the third after it begins.
        let beats = |world: &World| {
            let first = |octets: &[u8]| ClientDatagram::decode(octets).is_some_and(|d| d.header.copy == 0);
            world.tapped.iter().filter(|tapped| first(&tapped.octets)).count()
        };
        let replies = |world: &World| {
            world.nodes[0].events.iter().filter(|event| matches!(event, ClientEvent::Replied(_))).count()
        };
        let before = replies(&world);
        assert!(world.run_until(12_000, |world| replies(world) > before), "seed {seed}");
        world.is_line_up = false;
        let before = beats(&world);
        assert!(world.run_until(12_000, |world| beats(world) == before + 2), "seed {seed}");
        let due = world.nodes[0].client.poll_timeout();
        // The second lost beat goes on with its copies until the next is due.
        while beats(&world) == before + 2 {
            let next = world.nodes[0].client.poll_timeout().unwrap().as_millis();
            let last_copy = world.tapped.last().is_some_and(|tapped| {
                ClientDatagram::decode(&tapped.octets).is_some_and(|datagram| datagram.header.copy == 4)
            });
            if last_copy {
                world.run_for(next.saturating_sub(world.now).saturating_sub(1));
                break;
            }
            world.run_for(1.max(next.saturating_sub(world.now)));
        }
        world.is_line_up = true;
        world.run_for(10_000);
        assert_eq!(world.states().len(), 2, "seed {seed}, {due:?}: {:?}", world.states());
        assert_eq!(world.line().state, LineState::Online, "seed {seed}");
    }
}

#[test]
fn a_line_that_loses_every_tenth_datagram_is_not_called_dead_and_its_loss_is_known() {
    let (mut up, mut both) = (0.0, 0.0);
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.loss_per_mille = 100;
        world.run_for(600_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        let loss = world.line().loss_percent;
        assert!((1.0..30.0).contains(&loss), "seed {seed}: {loss} %");
        up += loss / 20.0;
        both += world.line().unanswered_percent.unwrap() / 20.0;
    }
    // A tenth each way; the client counts what got lost there and back.
    assert!((7.0..13.0).contains(&up) && (14.0..24.0).contains(&both), "{up} % up, {both} % both ways");
}

#[test]
fn a_beat_that_is_withheld_keeps_nobody_online_20_s_after_it_was_sent() {
    for seed in 0..500 {
        let mut world = World::online(seed);
        world.is_line_up = false;
        let from = world.now;
        let mut dice = Dice::new(seed);
        let mut released = world.tapped.len();
        for _ in 0..600 {
            world.run_for(100);
            // The tapper hands on what it withheld, in any order and as late as it likes.
            while released < world.tapped.len() && dice.chance(700) {
                let tapped = world.tapped[released].clone();
                released += 1;
                let delay = dice.range(0, 30_000);
                world.send_later(delay, tapped.sent, tapped.source, tapped.octets);
            }
            if world.now > world.newest_arrived.max(from) + 20_000 {
                assert_eq!(world.line().state, LineState::Offline, "seed {seed} at {}", world.now - from);
            }
        }
    }
}

#[test]
fn goodbye_is_offline_at_once_and_nothing_of_that_run_counts_afterwards() {
    for seed in 0..50 {
        let mut world = World::online(seed);
        let now = world.moment();
        world.nodes[0].client.say_goodbye(None, now);
        world.drain_client(0);
        assert!(world.run_until(500, |world| world.line().state == LineState::Offline), "seed {seed}");
        assert_eq!(world.states()[2].3, Cause::Goodbye);
        world.run_for(1_000);
        assert_eq!(world.nodes[0].client.poll_timeout(), None, "seed {seed}");
        let end = world.nodes[0].events.last();
        assert_eq!(end, Some(&ClientEvent::Ended { is_acknowledged: true }), "seed {seed}");
        for tapped in world.tapped.clone() {
            assert_eq!(world.inject(tapped.source, &tapped.octets), (None, 0), "seed {seed}");
        }
        world.add_client("203.0.113.7:41000", None);
        assert!(world.run_until(12_000, |world| world.line().state == LineState::Online), "seed {seed}");
    }
}

#[test]
fn an_interval_that_the_user_fixed_is_kept_by_both_ends() {
    for (seconds, window) in [(1, 5_000), (60, 182_000)] {
        let mut world = World::new(seconds);
        world.nodes.clear();
        world.add_client("203.0.113.7:40000", Some(Duration::from_secs(seconds)));
        world.run_for(seconds * 2_000 + 2_000);
        let line = world.line();
        assert_eq!((line.state, line.interval), (LineState::Online, Duration::from_secs(seconds)));
        world.is_line_up = false;
        assert!(world.run_until(window + 1_000, |world| world.line().state == LineState::Offline));
        let base = world.line().last_beat.unwrap().as_millis();
        assert!((base + window..=base + window + 200).contains(&world.now), "{seconds} s");
    }
}
