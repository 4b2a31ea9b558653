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

fn v4_mark(network: u64, is_silent: bool) -> Option<Mark> {
    Some(Mark::single(Network::V4(u16::try_from(network).unwrap()), is_silent))
}

fn v6_mark(network: u64, is_silent: bool) -> Option<Mark> {
    Some(Mark::single(Network::V6(u32::try_from(network).unwrap()), is_silent))
}

/// `heard` lines, each in a network of its own, `silent` of them SUSPECT.
fn add(guard: &mut Guard, mark: fn(u64, bool) -> Option<Mark>, heard: u64, silent: u64) {
    for line in 0..heard {
        guard.handle_change(None, mark(line, line < silent));
    }
}

fn guard(heard: u64, silent: u64) -> Guard {
    let mut guard = Guard::new(WINDOW);
    add(&mut guard, v4_mark, heard, silent);
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
    add(&mut guard, v6_mark, 20, 10);
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
        for line in 100..120 {
            guard.handle_fall(&v4_mark(line, true).unwrap(), None, at(0));
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
    for line in 0..30 {
        guard.handle_change(v4_mark(line, true), v4_mark(line, false));
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
    for line in 0..60 {
        guard.handle_change(v4_mark(line, true), v4_mark(line, false));
    }
    guard.handle_timeout(at(60));
    for line in 0..60 {
        guard.handle_change(v4_mark(line, false), v4_mark(line, true));
    }
    assert!(guard.is_ours(at(90), wall()), "a second outage of ours is guarded again");
}

#[test]
fn dropped_heartbeats_prove_no_silence_until_a_window_without_drops_has_passed() {
    let mut guard = guard(1_000, 3);
    guard.handle_drops(2, 198, at(0));
    assert!(!guard.is_ours(at(1), wall()), "2 of 200 are 1 %");
    guard.handle_drops(3, 198, at(2));
    assert!(guard.is_ours(at(3), wall()));
    assert_eq!(guard.take_alarms(), [Alarm::Overload { silent: 3, heard: 1_000 }]);
    assert_eq!(guard.own_outage().unwrap().fault, Fault::Overload);
    guard.handle_drops(50, 100, at(10));
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

#[test]
fn one_providers_outage_is_real_as_long_as_others_are_heard() {
    // 60 of 100 lines are silent, all of one provider.
    let judge = |elsewhere: u64, elsewhere_silent: u64| {
        let mut guard = Guard::new(WINDOW);
        for _ in 0..60 {
            guard.handle_change(None, v4_mark(7, true));
        }
        for line in 0..elsewhere {
            guard.handle_change(None, v4_mark(100 + line, line < elsewhere_silent));
        }
        guard.is_ours(at(0), wall())
    };
    assert!(!judge(40, 0), "all others are heard");
    assert!(!judge(40, 12), "as many silent as on any day with an outage");
    assert!(judge(40, 13), "more than 30 % of the others are silent as well");
    assert!(!judge(3, 0));
    assert!(judge(2, 0), "too few are heard to prove anything");
    assert!(judge(0, 0), "all customers are with one provider, or ours is down");
}

#[test]
fn one_providers_outage_is_real_in_its_family_too_and_while_its_lines_fall() {
    let mut guard = guard(1_000, 0);
    let provider = v6_mark(7, true);
    for _ in 0..30 {
        guard.handle_change(None, provider);
    }
    for line in 100..110 {
        guard.handle_change(None, v6_mark(line, false));
    }
    for _ in 0..30 {
        assert!(!guard.is_ours(at(1), wall()));
        guard.handle_change(provider, None);
        guard.handle_fall(&provider.unwrap(), None, at(1));
    }
    assert_eq!(guard.take_alarms(), []);
    for line in 100..106 {
        guard.handle_change(v6_mark(line, false), v6_mark(line, true));
    }
    assert!(guard.is_ours(at(2), wall()), "now the others of the family are silent, too");
}

#[test]
fn a_second_path_counts_in_its_family_and_its_loss_is_a_fall() {
    let both = |v6_is_silent: Option<bool>, line: u64| {
        let main = v4_mark(line, false).unwrap().main;
        let second = v6_is_silent.map(|is_silent| LaneMark {
            network: Network::V6(u32::try_from(line).unwrap()),
            is_silent,
            is_quick: true,
        });
        Mark { is_silent: false, main, second }
    };
    let mut guard = Guard::new(WINDOW);
    for line in 0..40 {
        guard.handle_change(None, Some(both(Some(line < 8), line)));
    }
    assert!(!guard.is_ours(at(0), wall()));
    for line in 0..8 {
        let (before, after) = (both(Some(true), line), both(None, line));
        guard.handle_change(Some(before), Some(after));
        guard.handle_fall(&before, Some(&after), at(0));
    }
    for line in 8..13 {
        guard.handle_change(Some(both(Some(false), line)), Some(both(Some(true), line)));
    }
    assert!(guard.is_ours(at(1), wall()), "13 of 40 paths over IPv6");
    assert_eq!(guard.take_alarms(), [Alarm::MassMiss { silent: 0, heard: 40 }], "no line is silent");
}

#[test]
fn a_slow_rhythm_is_no_witness() {
    for (is_quick, is_ours) in [(true, false), (false, true)] {
        let mut guard = Guard::new(WINDOW);
        for _ in 0..20 {
            guard.handle_change(None, v4_mark(1, true));
        }
        for line in 100..110 {
            let mut mark = v4_mark(line, false).unwrap();
            mark.main.is_quick = is_quick;
            guard.handle_change(None, Some(mark));
        }
        assert_eq!(guard.is_ours(at(1), wall()), is_ours, "quick: {is_quick}");
    }
}

#[test]
fn one_provider_is_one_whether_its_lines_have_one_family_or_both() {
    let both = |provider: u16, is_silent: bool| {
        let lane = |network| LaneMark { network, is_silent, is_quick: true };
        let (main, second) = (lane(Network::V4(provider)), Some(lane(Network::V6(u32::from(provider)))));
        Mark { is_silent, main, second }
    };
    let mut guard = Guard::new(WINDOW);
    for line in 0..140u16 {
        let provider = if line < 60 { 1 } else { 100 + line };
        guard.handle_change(None, Some(both(provider, false)));
    }
    for _ in 0..60 {
        guard.handle_change(Some(both(1, false)), Some(both(1, true)));
    }
    assert!(!guard.is_ours(at(1), wall()));
    for line in 60..90u16 {
        guard.handle_change(Some(both(100 + line, false)), Some(both(100 + line, true)));
    }
    assert!(guard.is_ours(at(2), wall()), "thirty of the eighty others are silent as well");
}
