//! When silence is taken to be our own fault, and what ends that.

use chrono::TimeZone;

use super::*;

const WINDOW: Duration = Duration::from_secs(17);

fn at(second: u64) -> Moment {
    Moment::from_millis(1_000_000 + second * 1_000)
}

fn wall() -> WallTime {
    chrono::Utc.timestamp_opt(1_795_492_800, 0).unwrap()
}

fn mark(family: Family, is_silent: bool) -> Option<Mark> {
    Some(Mark { family, is_silent })
}

/// `heard` lines of a family, `silent` of them SUSPECT.
fn add(guard: &mut Guard, family: Family, heard: u64, silent: u64) {
    for line in 0..heard {
        guard.handle_change(None, mark(family, line < silent));
    }
}

fn guard(heard: u64, silent: u64) -> Guard {
    let mut guard = Guard::new(WINDOW);
    add(&mut guard, Family::V4, heard, silent);
    guard
}

fn v4(is_up: bool) -> UplinkProof {
    UplinkProof { v4: Some(is_up), v6: None }
}

#[test]
fn more_than_30_percent_and_at_least_10_lines_are_our_own_fault() {
    for (heard, silent, is_ours) in
        [(9, 9, false), (10, 10, true), (33, 10, true), (34, 10, false), (100, 30, false), (100, 31, true)]
    {
        assert_eq!(guard(heard, silent).is_ours(at(0), wall()), is_ours, "{silent} of {heard}");
    }
}

#[test]
fn a_family_of_its_own_is_enough() {
    let mut guard = guard(1_000, 0);
    add(&mut guard, Family::V6, 20, 10);
    assert!(guard.is_ours(at(0), wall()));
    assert_eq!(guard.take_alarms(), [Alarm::MassMiss { silent: 10, heard: 1_020 }]);
    let v4_alone = v4(true);
    let both = UplinkProof { v4: Some(true), v6: Some(true) };
    for second in 0..60 {
        assert_eq!(guard.handle_proof(v4_alone, at(second)), None, "IPv4 says nothing of IPv6");
    }
    assert_eq!(guard.handle_proof(both, at(60)), None);
    assert!((61..80).any(|second| guard.handle_proof(both, at(second)).is_some()));
}

#[test]
fn those_who_fell_within_the_window_count_and_later_they_do_not() {
    let fell = |second| {
        let mut guard = guard(80, 16);
        for _ in 0..20 {
            guard.handle_fall(Family::V4, at(0));
        }
        guard.is_ours(at(second), wall())
    };
    assert!(fell(16), "36 of 100");
    assert!(!fell(17), "16 of 80");
}

#[test]
fn it_ends_when_beats_return() {
    let mut guard = guard(100, 60);
    assert!(guard.is_ours(at(0), wall()));
    assert!(!guard.handle_timeout(at(1)));
    for _ in 0..30 {
        guard.handle_change(mark(Family::V4, true), mark(Family::V4, false));
    }
    assert!(guard.handle_timeout(at(2)));
    assert_eq!(guard.own_outage(), None);
    let over = Alarm::MassMissOver { after: Duration::from_secs(2), end: End::Returned, silent: 30 };
    assert_eq!(guard.take_alarms(), [Alarm::MassMiss { silent: 60, heard: 100 }, over]);
    assert!(!guard.is_ours(at(20), wall()), "who is still silent is neutralised");
}

#[test]
fn it_ends_when_the_uplink_was_proven_all_through_a_window() {
    let mut guard = guard(100, 60);
    assert!(guard.is_ours(at(0), wall()));
    for second in [2, 4, 6] {
        assert_eq!(guard.handle_proof(v4(true), at(second)), None);
    }
    assert_eq!(guard.handle_proof(v4(false), at(8)), None);
    assert_eq!(guard.own_outage().unwrap().is_uplink_up, Some(false));
    for second in (10..27).step_by(2) {
        assert_eq!(guard.handle_proof(v4(true), at(second)), None, "{second}");
    }
    assert_eq!(guard.handle_proof(v4(true), at(28)), Some(at(10)));
    assert!(!guard.is_ours(at(28), wall()), "although most are silent");
    for _ in 0..60 {
        guard.handle_change(mark(Family::V4, true), mark(Family::V4, false));
    }
    guard.handle_timeout(at(60));
    for _ in 0..60 {
        guard.handle_change(mark(Family::V4, false), mark(Family::V4, true));
    }
    assert!(guard.is_ours(at(90), wall()), "a second outage of ours is guarded again");
}

#[test]
fn dropped_heartbeats_prove_no_silence_until_a_window_without_drops_has_passed() {
    let mut guard = guard(1_000, 3);
    guard.handle_drops(2, 0.2, at(0));
    assert!(!guard.is_ours(at(1), wall()), "2 of 200 are 1 %");
    guard.handle_drops(3, 0.2, at(2));
    assert!(guard.is_ours(at(3), wall()));
    assert_eq!(guard.take_alarms(), [Alarm::Overload { silent: 3, heard: 1_000 }]);
    assert_eq!(guard.own_outage().unwrap().fault, Fault::Overload);
    guard.handle_drops(50, 0.2, at(10));
    assert!(!guard.handle_timeout(at(26)));
    assert!(guard.handle_timeout(at(27)));
    assert!(!guard.is_ours(at(44), wall()));
    let over = Alarm::MassMissOver { after: Duration::from_secs(24), end: End::NoDrops, silent: 3 };
    assert_eq!(guard.take_alarms(), [over]);
}

#[test]
fn proofs_far_apart_prove_nothing_and_without_any_the_operator_decides() {
    let mut guard = guard(100, 60);
    assert!(!guard.handle_release(at(0)), "nothing to decide yet");
    assert!(guard.is_ours(at(0), wall()));
    for second in [10, 20, 30, 40, 50] {
        assert_eq!(guard.handle_proof(v4(true), at(second)), None);
        assert_eq!(guard.handle_proof(UplinkProof::default(), at(second)), None);
    }
    assert!(guard.handle_release(at(60)));
    assert!(!guard.is_ours(at(60), wall()));
}
