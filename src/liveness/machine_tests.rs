//! The rules of one line, in virtual time.

use chrono::TimeZone;

use super::*;
use crate::base::{AccountId, EndpointId};
use crate::liveness::view::Families;

fn moment(millis: u64) -> Moment {
    Moment::from_millis(1_000_000 + millis)
}

fn wall(millis: u64) -> WallTime {
    chrono::Utc.timestamp_millis_opt(1_795_492_800_000 + i64::try_from(millis).unwrap()).unwrap()
}

fn machine(state: LineState) -> Machine {
    let settings = Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) };
    let since = (state != LineState::New).then(|| wall(0) - chrono::TimeDelta::days(1));
    let watched = WatchedEndpoint { state, since, ..WatchedEndpoint::new(AccountId(1), EndpointId(2)) };
    Machine::new(settings, watched, moment(0))
}

fn beat_at(machine: &mut Machine, millis: u64) {
    beat_with(machine, millis, millis, None);
}

fn beat_with(machine: &mut Machine, base: u64, at: u64, mail_ok: Option<bool>) {
    let beat = Beat { base: moment(base), mail_ok, ..beat(at) };
    machine.handle_beat(&beat, wall(at));
}

fn beat(at: u64) -> Beat {
    Beat {
        path: 0,
        base: moment(at),
        at: moment(at),
        interval: Duration::from_secs(5),
        address: "192.0.2.1".parse().unwrap(),
        mail_ok: None,
        loss_percent: 0.0,
        unanswered_percent: None,
    }
}

fn silence_until(machine: &mut Machine, millis: u64) {
    machine.handle_timeout(moment(millis), wall(millis));
}

/// `(from, to, cause, ms since the start)` of each row so far.
fn rows(machine: &mut Machine) -> Vec<(LineState, LineState, Cause, i64)> {
    std::iter::from_fn(|| machine.poll_transition())
        .filter_map(|output| match output {
            Output::Row(HistoryRow::State(row)) => {
                Some((row.from, row.to, row.cause, (row.since - wall(0)).num_milliseconds()))
            }
            Output::Row(HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_))
            | Output::Note(_)
            | Output::Alarm(_) => None,
        })
        .collect()
}

#[test]
fn the_second_beat_makes_a_new_line_online_and_copies_are_no_second_beat() {
    let mut machine = machine(LineState::New);
    assert_eq!(machine.poll_timeout(), None);
    beat_at(&mut machine, 100);
    beat_at(&mut machine, 150);
    beat_at(&mut machine, 1_100);
    assert_eq!(machine.state(), LineState::Returning);
    beat_at(&mut machine, 5_100);
    assert_eq!(
        rows(&mut machine),
        [
            (LineState::New, LineState::Returning, Cause::Beat, 100),
            (LineState::Returning, LineState::Online, Cause::Confirmed, 5_100)
        ]
    );
    assert_eq!(machine.view(moment(5_200)).recent_beats.len(), 2);
}

#[test]
fn a_quick_line_has_to_beat_twice_and_a_slow_one_is_confirmed_by_the_greeting() {
    for (interval, is_confirmed) in [(5, false), (13, true), (900, true)] {
        let mut machine = machine(LineState::Offline);
        machine.handle_greeting(moment(50), wall(50));
        assert_eq!(machine.state(), LineState::Offline);
        let beat = Beat { interval: Duration::from_secs(interval), ..beat(100) };
        machine.handle_beat(&beat, wall(100));
        machine.handle_greeting(moment(300), wall(300));
        let state = if is_confirmed { LineState::Online } else { LineState::Returning };
        assert_eq!(machine.state(), state, "{interval} s");
        machine.handle_greeting(moment(400), wall(400));
        let again = interval * 1_000 + 100;
        machine.handle_beat(&Beat { base: moment(again), at: moment(again), ..beat }, wall(again));
        assert_eq!(machine.state(), LineState::Online);
        assert_eq!(rows(&mut machine).len(), 2);
    }
}

#[test]
fn each_family_has_its_own_deadline_and_says_since_when_it_is_proven() {
    let mut machine = machine(LineState::Offline);
    assert_eq!(machine.families(moment(0)), Families::default());
    beat_at(&mut machine, 10_000);
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let over_v6 = Beat { path: 1, address: v6, interval: Duration::from_secs(9), loss_percent: 12.5, ..beat(12_000) };
    machine.handle_beat(&over_v6, wall(12_000));
    beat_at(&mut machine, 15_000);
    let families = machine.families(moment(16_000));
    let (v4, second) = (families.v4.unwrap(), families.v6.unwrap());
    assert_eq!((v4.proven_since, v4.silent_for), (Some(wall(10_000)), Some(Duration::from_secs(1))));
    assert_eq!((v4.goes_after, second.goes_after), (Duration::from_secs(17), Duration::from_secs(29)));
    assert_eq!((second.address, second.proven_since, second.loss_percent), (v6, Some(wall(12_000)), Some(12.5)));
    silence_until(&mut machine, 31_999);
    assert!(machine.families(moment(31_999)).v4.is_some());
    silence_until(&mut machine, 32_000);
    let families = machine.families(moment(32_000));
    assert!(families.v4.is_none() && families.v6.is_some(), "17 s after the last beat of its own");
    machine.handle_moved(1, Some(v6), "2001:db8::2".parse().unwrap(), wall(33_000));
    assert_eq!(machine.families(moment(33_000)).v6.unwrap().proven_since, None, "not heard there yet");
}

#[test]
fn an_update_that_ran_out_ends_the_line_at_once_and_says_so() {
    let mut machine = machine(LineState::Online);
    beat_at(&mut machine, 0);
    machine.handle_end(Cause::UpdateRanOut, moment(1_000), wall(1_000));
    assert_eq!(rows(&mut machine), [(LineState::Online, LineState::Offline, Cause::UpdateRanOut, 1_000)]);
    assert_eq!(Cause::from_stored(Cause::UpdateRanOut.as_str()), Some(Cause::UpdateRanOut));
}

#[test]
fn silence_is_suspect_after_7_s_and_offline_after_17_s_since_the_first_missed_beat() {
    let mut machine = machine(LineState::Online);
    beat_at(&mut machine, 1_000);
    silence_until(&mut machine, 7_999);
    assert_eq!(machine.state(), LineState::Online);
    silence_until(&mut machine, 8_000);
    assert_eq!(machine.state(), LineState::Suspect);
    assert_eq!(machine.view(moment(8_000)).since, Some(wall(6_000)));
    silence_until(&mut machine, 17_999);
    assert_eq!(machine.state(), LineState::Suspect);
    assert_eq!(rows(&mut machine), []);
    silence_until(&mut machine, 18_000);
    assert_eq!(rows(&mut machine), [(LineState::Online, LineState::Offline, Cause::MissedBeats, 6_000)]);
    assert_eq!(machine.view(moment(18_000)).missed, 3);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_beat_heals_suspicion_without_a_row() {
    let mut machine = machine(LineState::Online);
    beat_at(&mut machine, 0);
    silence_until(&mut machine, 16_999);
    beat_at(&mut machine, 17_000);
    silence_until(&mut machine, 17_000);
    assert_eq!(machine.state(), LineState::Online);
    assert_eq!(rows(&mut machine), []);
}

#[test]
fn a_line_that_was_only_returning_goes_offline_too() {
    let mut machine = machine(LineState::New);
    beat_at(&mut machine, 0);
    silence_until(&mut machine, 7_000);
    machine.handle_greeting(moment(7_100), wall(7_100));
    assert_eq!(machine.state(), LineState::Suspect);
    silence_until(&mut machine, 17_000);
    assert_eq!(rows(&mut machine)[1], (LineState::Returning, LineState::Offline, Cause::MissedBeats, 5_000));
}

#[test]
fn goodbye_is_offline_at_once_and_a_beat_brings_it_back() {
    let mut machine = machine(LineState::Online);
    beat_at(&mut machine, 0);
    machine.handle_end(Cause::Goodbye, moment(1_234), wall(1_234));
    machine.handle_end(Cause::Goodbye, moment(1_300), wall(1_300));
    assert_eq!(rows(&mut machine), [(LineState::Online, LineState::Offline, Cause::Goodbye, 1_234)]);
    beat_at(&mut machine, 9_000);
    assert_eq!(machine.state(), LineState::Returning);
}

#[test]
fn after_a_restart_the_state_stands_for_a_full_window_without_an_address() {
    for state in [LineState::Online, LineState::Returning] {
        let mut machine = machine(state);
        let view = machine.view(moment(0));
        assert_eq!((view.state, view.address, view.last_beat), (state, None, None));
        silence_until(&mut machine, 16_999);
        assert_eq!(rows(&mut machine), []);
        silence_until(&mut machine, 17_000);
        assert_eq!(rows(&mut machine), [(state, LineState::Offline, Cause::MissedBeats, 5_000)]);
    }
}

#[test]
fn a_beat_too_late_to_keep_a_line_alive_revives_none() {
    let mut machine = machine(LineState::Offline);
    beat_with(&mut machine, 0, 17_000, None);
    assert_eq!(machine.state(), LineState::Offline);
    beat_with(&mut machine, 0, 16_000, None);
    assert_eq!(machine.state(), LineState::Returning);
    silence_until(&mut machine, 17_000);
    assert_eq!(machine.state(), LineState::Offline);
}

#[test]
fn an_older_beat_never_shortens_the_deadline() {
    let mut machine = machine(LineState::Online);
    beat_at(&mut machine, 10_000);
    beat_with(&mut machine, 5_000, 10_500, None);
    silence_until(&mut machine, 26_999);
    assert_ne!(machine.state(), LineState::Offline);
    assert_eq!(machine.view(moment(10_500)).last_beat, Some(moment(10_000)));
}

#[test]
fn no_setting_neutralises_before_the_third_miss_or_after_20_s_at_5_s() {
    let second = Duration::from_secs;
    let hasty = Settings { interval: second(5), misses: 1, grace: second(0) };
    assert_eq!(hasty.window(second(5)), second(15));
    let slow = Settings { interval: second(5), misses: 9, grace: second(9) };
    assert_eq!(slow.window(second(5)), second(20));
    assert_eq!(slow.window(second(60)), second(549));
    assert_eq!(Settings { misses: 3, grace: second(2), ..hasty }.window(second(1)), second(5));
}

#[test]
fn a_mail_server_that_takes_mail_again_is_told() {
    let mut machine = machine(LineState::Online);
    let mut told = 0;
    for (at, mail_ok) in [(0, None), (5_000, Some(true)), (10_000, Some(false)), (15_000, Some(true))] {
        beat_with(&mut machine, at, at, mail_ok);
        told += std::iter::from_fn(|| machine.poll_transition())
            .filter(|output| matches!(output, Output::Note(LineEvent::MailAccepted { .. })))
            .count();
    }
    assert_eq!(told, 1);
}

#[test]
fn a_line_that_comes_and_goes_holds_its_name_and_is_told_once_while_mail_goes_on() {
    let mut machine = machine(LineState::Online);
    let mut now = 0;
    let mut alarms = Vec::new();
    for _ in 0..6 {
        beat_at(&mut machine, now);
        beat_at(&mut machine, now + 5_000);
        assert_eq!(machine.state(), LineState::Online, "a return is a return however often");
        now += 30_000;
        silence_until(&mut machine, now);
        assert_eq!(machine.state(), LineState::Offline);
        let told = std::iter::from_fn(|| machine.poll_transition());
        alarms.extend(told.filter(|output| matches!(output, Output::Alarm(Alarm::Flapping { .. }))));
    }
    assert_eq!(alarms.len(), 1);
    let held_until = machine.view(moment(now)).name_held_until.unwrap();
    assert_eq!((held_until - wall(now)).num_seconds(), 900);
    assert_eq!(machine.view(moment(now + 900_000)).name_held_until, None);
}

#[test]
fn the_first_rise_is_a_change_as_well_so_that_the_fifth_holds_the_name() {
    let mut machine = machine(LineState::Offline);
    let mut changes = 0;
    for round in 0..3 {
        let start = round * 20_000;
        beat_at(&mut machine, start);
        for then in [start + 5_000, start + 6_000] {
            if then == start + 5_000 {
                beat_at(&mut machine, then);
            } else {
                machine.handle_end(Cause::Goodbye, moment(then), wall(then));
            }
            changes += 1;
            let mut told = std::iter::from_fn(|| machine.poll_transition());
            let is_told = told.any(|output| matches!(output, Output::Alarm(Alarm::Flapping { .. })));
            assert_eq!(is_told, changes == 5, "change {changes}");
        }
    }
}

#[test]
fn another_rhythm_is_written_once_and_a_client_that_changes_it_always_writes_once_a_minute() {
    let mut machine = machine(LineState::Online);
    let beat = |machine: &mut Machine, at: u64, seconds: u64| {
        let beat = Beat {
            path: 0,
            base: moment(at),
            at: moment(at),
            interval: Duration::from_secs(seconds),
            address: "192.0.2.1".parse().unwrap(),
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
        };
        machine.handle_beat(&beat, wall(at));
        std::iter::from_fn(|| machine.poll_transition())
            .filter(|output| matches!(output, Output::Row(HistoryRow::Interval(_))))
            .count()
    };
    assert_eq!(beat(&mut machine, 0, 5), 0);
    assert_eq!(beat(&mut machine, 5_000, 30), 1);
    assert_eq!(beat(&mut machine, 35_000, 30), 0);
    let rows: usize = (36..156).map(|second| beat(&mut machine, second * 1_000, 5 + second % 2)).sum();
    assert_eq!(rows, 2);
}

#[test]
fn silence_that_was_our_own_fault_is_known_after_a_restart_and_ends_with_a_beat() {
    let since = wall(0) - chrono::TimeDelta::minutes(3);
    let watched = WatchedEndpoint {
        state: LineState::Online,
        since: Some(wall(0)),
        no_data_since: Some(since),
        ..WatchedEndpoint::new(AccountId(1), EndpointId(2))
    };
    let settings = Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) };
    let over = |machine: &mut Machine| {
        std::iter::from_fn(|| machine.poll_transition()).find_map(|output| match output {
            Output::Row(HistoryRow::NoData(row)) => Some((row.since, row.at, row.is_over)),
            Output::Row(_) | Output::Note(_) | Output::Alarm(_) => None,
        })
    };
    let mut machine = Machine::new(settings, watched.clone(), moment(0));
    beat_at(&mut machine, 2_000);
    assert_eq!(over(&mut machine), Some((since, wall(2_000), true)));
    let mut silent = Machine::new(settings, watched, moment(0));
    silence_until(&mut silent, 17_000);
    assert_eq!(silent.state(), LineState::Offline);
    assert_eq!(over(&mut silent), Some((since, wall(17_000), true)));
}

#[test]
fn an_address_that_opens_elsewhere_is_told_though_no_row_says_so() {
    let mut machine = machine(LineState::New);
    for at in [0, 5_000] {
        beat_at(&mut machine, at);
    }
    let told = |machine: &mut Machine| {
        let all = std::iter::from_fn(|| machine.poll_transition());
        all.filter(|output| matches!(output, Output::Note(LineEvent::Addresses { .. }))).count()
    };
    told(&mut machine);
    machine.handle_opened(0, "192.0.2.1".parse().unwrap());
    assert_eq!(told(&mut machine), 0);
    machine.handle_opened(0, "2001:db8::1".parse().unwrap());
    assert_eq!(told(&mut machine), 1);
    assert_eq!(machine.effective_addresses().v4, None);
}
