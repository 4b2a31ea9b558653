//! Many lines at once: outages of our own, clocks that jump, starts of the server. Nobody is called dead for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use chrono::TimeDelta;
use pulsemx::base::{AccountId, EndpointId, Moment};
use pulsemx::heartbeat::server::{BeatEvent, BeatKind};
use pulsemx::liveness::guard::{End, UplinkProof};
use pulsemx::liveness::{Alarm, Board, HistoryRow, LineState, Output, Transition, WatchedEndpoint};

use crate::world::{Dice, World, line_settings, wall};

const LINES: i64 = 200;
const SCAN_EVERY: u64 = 100;
const INTERVAL: u64 = 5_000;

/// Lines that beat each 5 s, each with a phase of its own, in front of one board.
struct Crowd {
    board: Board,
    now: u64,
    /// The wall clock is off by this.
    skew: TimeDelta,
    phases: Vec<u64>,
    /// From which line on nobody beats.
    beating: usize,
    /// Nothing arrives, of anybody.
    is_cut: bool,
    changes: Vec<Transition>,
    no_data: (usize, usize),
    alarms: Vec<Alarm>,
}

impl Crowd {
    fn online(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let now = 3_600_000;
        let moment = Moment::from_millis(now);
        let watched = (1..=LINES).map(|id| WatchedEndpoint {
            state: LineState::Online,
            since: Some(wall(moment)),
            ..WatchedEndpoint::new(AccountId(id), EndpointId(id))
        });
        let phases: Vec<u64> = (0..LINES).map(|_| dice.range(0, INTERVAL / SCAN_EVERY) * SCAN_EVERY).collect();
        let board = Board::new(line_settings(), watched.collect(), moment, wall(moment));
        let beating = phases.len();
        let (changes, alarms) = (Vec::new(), Vec::new());
        let skew = TimeDelta::zero();
        let mut crowd = Self { board, now, skew, phases, beating, is_cut: false, changes, no_data: (0, 0), alarms };
        crowd.run_for(30_000);
        crowd
    }

    /// Every fourth over IPv6.
    fn address(line: usize) -> IpAddr {
        // Each in a network of its own.
        let network = u16::try_from(line).unwrap();
        if line.is_multiple_of(4) {
            Ipv6Addr::new(0x2001, network, 0, 0, 0, 0, 0, 1).into()
        } else {
            Ipv4Addr::new(198, u8::try_from(network).unwrap(), 2, 1).into()
        }
    }

    fn run_for(&mut self, millis: u64) {
        self.run_with(millis, |_| {});
    }

    fn run_with(&mut self, millis: u64, mut each: impl FnMut(&mut Self)) {
        let end = self.now + millis;
        while self.now < end {
            self.now += SCAN_EVERY;
            let now = Moment::from_millis(self.now);
            let time = wall(now) + self.skew;
            for line in 0..self.beating {
                if !self.is_cut && self.now % INTERVAL == self.phases[line] {
                    self.beat(line, now);
                }
            }
            self.board.scan(now, time);
            each(self);
            self.collect();
        }
    }

    fn beat(&mut self, line: usize, at: Moment) {
        let kind = BeatKind::Beat {
            base: at,
            address: Self::address(line),
            interval: Duration::from_millis(INTERVAL),
            mail_ok: None,
            loss_percent_up: 0.0,
            unanswered_percent: None,
        };
        let id = i64::try_from(line).unwrap() + 1;
        let event = BeatEvent { endpoint: EndpointId(id), account: AccountId(id), path: 0, at, kind };
        self.board.handle_event(&event, wall(at) + self.skew);
    }

    fn collect(&mut self) {
        for output in self.board.take_outputs() {
            match output {
                Output::Row(HistoryRow::State(row)) => self.changes.push(row),
                Output::Row(HistoryRow::NoData(row)) if row.is_over => self.no_data.1 += 1,
                Output::Row(HistoryRow::NoData(_)) => self.no_data.0 += 1,
                Output::Row(HistoryRow::Address(_) | HistoryRow::Interval(_)) | Output::Note(_) => {}
                Output::Alarm(alarm) => self.alarms.push(alarm),
            }
        }
    }

    fn count(&self, state: LineState) -> usize {
        let now = Moment::from_millis(self.now);
        (1..=LINES).filter(|id| self.board.line(EndpointId(*id), now).unwrap().state == state).count()
    }
}

#[test]
fn a_mass_miss_neutralises_nobody_and_its_time_is_without_data() {
    for seed in 0..20 {
        let mut crowd = Crowd::online(seed);
        crowd.is_cut = true;
        crowd.run_for(600_000);
        assert_eq!(crowd.count(LineState::Suspect), LINES as usize, "mail is stored, seed {seed}");
        assert_eq!(crowd.no_data, (LINES as usize, 0), "seed {seed}");
        assert!(matches!(crowd.alarms[..], [Alarm::MassMiss { silent: 200, heard: 200 }]), "{:?}", crowd.alarms);
        crowd.is_cut = false;
        crowd.run_for(60_000);
        assert_eq!(crowd.changes, [], "seed {seed}");
        assert_eq!(crowd.no_data, (LINES as usize, LINES as usize), "seed {seed}");
        assert_eq!(crowd.count(LineState::Online), LINES as usize);
        assert!(matches!(crowd.alarms[1..], [Alarm::MassMissOver { end: End::Returned, .. }]), "{:?}", crowd.alarms);
    }
}

#[test]
fn one_address_family_that_falls_silent_is_our_own_fault_too() {
    let mut crowd = Crowd::online(1);
    // A phase that never comes: no beat.
    crowd.phases.iter_mut().step_by(4).for_each(|phase| *phase = u64::MAX);
    crowd.run_for(300_000);
    assert_eq!(crowd.changes, [], "50 of 200 lines, but all of IPv6");
    assert_eq!(crowd.count(LineState::Suspect), 50);
}

#[test]
fn the_outage_of_a_few_is_real() {
    let mut crowd = Crowd::online(2);
    crowd.beating = 145;
    crowd.run_for(60_000);
    assert_eq!(crowd.changes.iter().filter(|row| row.to == LineState::Offline).count(), 55);
    assert_eq!((crowd.no_data, crowd.alarms.len()), ((0, 0), 0));
}

#[test]
fn who_is_still_silent_when_beats_return_is_neutralised_after_a_full_window() {
    let mut crowd = Crowd::online(3);
    crowd.is_cut = true;
    crowd.run_for(120_000);
    (crowd.is_cut, crowd.beating) = (false, 190);
    crowd.run_for(15_000);
    assert_eq!(crowd.changes, []);
    crowd.run_for(10_000);
    assert_eq!(crowd.count(LineState::Offline), 10);
    assert_eq!(crowd.no_data, (200, 200));
    assert!(crowd.changes.iter().all(|row| row.since == row.at), "of the time before nothing is known");
}

#[test]
fn a_proven_uplink_means_that_silence_is_real() {
    let mut crowd = Crowd::online(4);
    crowd.beating = 20;
    crowd.run_with(60_000, |crowd| {
        if crowd.now.is_multiple_of(2_000) {
            crowd.board.handle_uplink(UplinkProof { v4: Some(false), v6: Some(true) }, Moment::from_millis(crowd.now));
        }
    });
    assert_eq!(crowd.changes, []);
    let from = crowd.now;
    crowd.run_with(30_000, |crowd| {
        if crowd.now.is_multiple_of(2_000) {
            crowd.board.handle_uplink(UplinkProof { v4: Some(true), v6: Some(true) }, Moment::from_millis(crowd.now));
        }
    });
    assert_eq!(crowd.changes.len(), 180);
    let first = crowd.changes.iter().map(|row| row.at).min().unwrap();
    assert!(first >= wall(Moment::from_millis(from + 17_000)), "all through a full window");
    assert!(crowd.alarms.iter().any(|alarm| matches!(alarm, Alarm::MassMissOver { end: End::UplinkWorks, .. })));
}

#[test]
fn the_operator_decides_without_a_check() {
    let mut crowd = Crowd::online(5);
    crowd.beating = 20;
    crowd.run_for(600_000);
    assert_eq!(crowd.changes, []);
    let outage = crowd.board.own_outage().unwrap();
    assert_eq!((outage.silent, outage.heard, outage.is_uplink_up), (180, 200, None));
    assert!(crowd.board.release_own_outage(Moment::from_millis(crowd.now)));
    crowd.run_for(200);
    assert_eq!(crowd.count(LineState::Offline), 180);
    assert!(!crowd.board.release_own_outage(Moment::from_millis(crowd.now)));
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    for seed in 0..20 {
        let mut crowd = Crowd::online(seed);
        let mut dice = Dice::new(seed);
        for _ in 0..10 {
            let hours = i64::try_from(dice.range(0, 200_000)).unwrap() - 100_000;
            crowd.skew = TimeDelta::hours(hours);
            let quiet = dice.range(10, 300) * SCAN_EVERY;
            crowd.run_for(quiet);
        }
        assert_eq!(crowd.changes, [], "seed {seed}");
        assert_eq!(crowd.count(LineState::Online), LINES as usize, "seed {seed}");
    }
}

#[test]
fn a_suspended_server_grants_a_full_window_whichever_clock_shows_it() {
    for seed in 0..20 {
        let mut crowd = Crowd::online(seed);
        crowd.beating = 195;
        // Asleep for ten minutes: the monotonic clock may stand still meanwhile, or go on.
        if seed % 2 == 0 {
            crowd.skew = TimeDelta::minutes(10);
        } else {
            crowd.now += 600_000;
        }
        crowd.run_for(16_000);
        assert_eq!(crowd.changes, [], "seed {seed}");
        crowd.run_for(3_000);
        assert_eq!(crowd.changes.len(), 5, "a full window later, seed {seed}");
        assert!(matches!(crowd.alarms[..], [Alarm::TimersLate { .. }]), "{:?}", crowd.alarms);
    }
}

#[test]
fn a_slow_client_is_not_called_dead_after_a_restart_of_the_server() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.nodes.clear();
        world.add_client("203.0.113.7:40000", Some(Duration::from_secs(30)));
        world.run_for(70_000);
        for _ in 0..5 {
            let quiet = world.dice.range(0, 40_000);
            world.run_for(quiet);
            world.restart_server();
            assert_eq!(world.line().interval, Duration::from_secs(30));
        }
        world.run_for(120_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
    }
}

#[test]
fn the_loss_figure_is_the_loss_that_was_injected() {
    for seed in 0..100 {
        let mut world = World::online(seed);
        world.latency_ms = (1, world.dice.range(2, 900));
        world.loss_per_mille = world.dice.range(0, 300);
        world.run_for(600_000);
        world.loss_per_mille = 0;
        // The newest has to arrive, and what is late with it.
        assert!(world.run_until(30_000, |world| world.tapped.last().is_some_and(|tapped| !tapped.is_lost)));
        world.run_for(1_000);
        let of_run = world.newest_run();
        let lost = of_run.iter().rev().take(64).filter(|tapped| tapped.is_lost).count();
        let shown = f64::from(world.line().loss_percent) * 64.0 / 100.0;
        assert!((shown - lost as f64).abs() <= 1.0, "seed {seed}: {shown} shown, {lost} lost");
    }
}
