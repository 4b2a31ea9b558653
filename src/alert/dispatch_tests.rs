//! Alerts go out after their delay, outside quiet hours, once an episode, and again after a failure.

use super::*;
use crate::alert::kind::{Kind, Kinds};
use crate::base::EndpointId;
use proptest::prelude::*;

fn at(second: i64) -> WallTime {
    chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn channel(id: i64, account: Option<i64>, set: &[(&str, &str)]) -> ChannelRow {
    let mut terms = Terms::ordinary(account.is_none());
    for (name, value) in set {
        terms.set(name, value).unwrap();
    }
    ChannelRow {
        id,
        account: account.map(AccountId),
        url: "webhook:https://h.example/".to_owned(),
        sealed: None,
        terms,
        is_configured: false,
        created_at: at(0),
        record: Record::default(),
    }
}

fn event(account: i64, since: Option<i64>, fact: Fact) -> Event {
    Event {
        account: Some(AccountId(account)),
        account_name: "firma".to_owned(),
        endpoint: Some(EndpointId(account + 100)),
        server: None,
        since: since.map(at),
        fact,
    }
}

fn silent(since: i64) -> Event {
    event(1, Some(since), Fact::Silent)
}

fn back() -> Event {
    event(1, None, Fact::Back { after_s: 60 })
}

fn dispatch(channels: Vec<ChannelRow>) -> Dispatch {
    Dispatch::new(AlertRows { channels, outbox: Vec::new() })
}

/// Sends all that is due, each with success.
fn told(dispatch: &mut Dispatch, second: i64) -> Vec<(i64, &'static str)> {
    let mut all = Vec::new();
    while let Some(row) = dispatch.poll_send(at(second)) {
        all.push((row.channel, row.event.fact.phase().as_str()));
        dispatch.handle_sent(row.channel, row.id, at(second));
    }
    all
}

/// What a restart finds.
fn restarted(dispatch: &mut Dispatch, disk: &mut AlertRows) {
    for change in dispatch.take_changes() {
        match change {
            OutboxChange::Put(row) => {
                disk.outbox.retain(|known| known.id != row.id);
                disk.outbox.push(*row);
            }
            OutboxChange::Drop(id) => disk.outbox.retain(|known| known.id != id),
            OutboxChange::Note(id, record) => {
                disk.channels.iter_mut().filter(|row| row.id == id).for_each(|row| row.record = record.clone());
            }
        }
    }
    disk.outbox.sort_by_key(|row| row.id);
    *dispatch = Dispatch::new(disk.clone());
}

#[test]
fn trouble_is_told_after_the_delay_and_once_and_so_is_its_end() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "2m")]), channel(2, Some(2), &[])]);
    dispatch.handle_event(&silent(0), at(0));
    assert_eq!(dispatch.poll_timeout(), Some(at(120)));
    assert_eq!(told(&mut dispatch, 119), []);
    dispatch.handle_event(&silent(0), at(119));
    assert_eq!(told(&mut dispatch, 120), [(1, "begin")]);
    assert_eq!(told(&mut dispatch, 9_999), []);
    dispatch.handle_event(&back(), at(10_000));
    dispatch.handle_event(&back(), at(10_001));
    assert_eq!(told(&mut dispatch, 10_001), [(1, "end")]);
    assert_eq!(dispatch.poll_timeout(), None);
}

#[test]
fn an_end_within_the_delay_cancels_both() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "2m")])]);
    dispatch.handle_event(&silent(0), at(0));
    dispatch.handle_event(&back(), at(119));
    assert_eq!(told(&mut dispatch, 500), []);
    dispatch.handle_event(&silent(600), at(600));
    assert_eq!(told(&mut dispatch, 720), [(1, "begin")]);
}

#[test]
fn an_end_that_was_missed_is_told_with_the_length_of_its_outage() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "0s")])]);
    dispatch.handle_event(&silent(100), at(110));
    assert_eq!(told(&mut dispatch, 110), [(1, "begin")]);
    dispatch.handle_event(&event(1, Some(400), Fact::Back { after_s: 0 }), at(9_000));
    let end = dispatch.poll_send(at(9_000)).unwrap();
    assert_eq!((end.event.fact, end.event.since), (Fact::Back { after_s: 300 }, Some(at(100))));
}

#[test]
fn the_end_is_told_only_to_those_who_want_it() {
    let set: &[(&str, &str)] = &[("delay", "0s"), ("recovery", "off")];
    let mut dispatch = dispatch(vec![channel(1, Some(1), set)]);
    dispatch.handle_event(&silent(0), at(0));
    assert_eq!(told(&mut dispatch, 0), [(1, "begin")]);
    dispatch.handle_event(&back(), at(9));
    assert_eq!(told(&mut dispatch, 9), []);
}

#[test]
fn quiet_hours_hold_an_alert_back_and_its_end_in_them_cancels_it() {
    // 2027-01-15 08:00 UTC is the zero of these tests.
    let set: &[(&str, &str)] = &[("delay", "0s"), ("quiet", "08:00-09:00")];
    let mut dispatch = dispatch(vec![channel(1, Some(1), set)]);
    dispatch.handle_event(&silent(10), at(10));
    assert_eq!(dispatch.poll_timeout(), Some(at(3_600)));
    dispatch.handle_event(&back(), at(100));
    assert_eq!(dispatch.poll_timeout(), None);
    dispatch.handle_event(&silent(200), at(200));
    assert_eq!(told(&mut dispatch, 3_600), [(1, "begin")]);
    dispatch.handle_event(&back(), at(86_400));
    assert_eq!(told(&mut dispatch, 86_500), []);
    assert_eq!(told(&mut dispatch, 90_000), [(1, "end")]);
}

#[test]
fn the_operator_hears_of_the_service_and_of_accounts_only_if_he_wants() {
    let all: &[(&str, &str)] = &[("kinds", "all")];
    let mut dispatch =
        dispatch(vec![channel(1, None, &[]), channel(2, None, all), channel(3, Some(1), &[("delay", "0s")])]);
    dispatch.handle_event(&silent(0), at(0));
    assert_eq!(told(&mut dispatch, 0), [(2, "begin"), (3, "begin")]);
    dispatch.handle_event(&Event::of_service(Fact::MassMiss { silent: 4, heard: 5 }), at(1));
    assert_eq!(told(&mut dispatch, 1), [(1, "begin"), (2, "begin")]);
}

#[test]
fn a_failure_is_counted_and_tried_again_with_growing_pauses_until_a_day_is_over() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "0s")])]);
    dispatch.handle_event(&silent(0), at(0));
    let (mut now, mut pauses) = (at(0), Vec::new());
    loop {
        let row = dispatch.poll_send(now).unwrap();
        assert!(dispatch.poll_send(now).is_none(), "one at a time");
        if dispatch.handle_failed(1, row.id, "says 500".to_owned(), now, 0) {
            break;
        }
        let next = dispatch.poll_timeout().unwrap();
        pauses.push((next - now).num_seconds());
        now = next;
    }
    assert_eq!(pauses[..9], PAUSES_S.map(u64::cast_signed));
    assert!(pauses[9..].iter().all(|pause| *pause == 3_600) && pauses.len() > 24, "{pauses:?}");
    let Some(OutboxChange::Note(1, record)) = dispatch.take_changes().pop() else { panic!() };
    assert_eq!((record.lost_total, record.failures), (1, pauses.len() as u64 + 1));
    assert_eq!(record.last_error.as_deref(), Some("says 500"));
    assert_eq!(dispatch.poll_timeout(), None);
}

#[test]
fn an_end_while_a_channel_fails_is_told_behind_its_beginning() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "0s")])]);
    dispatch.handle_event(&silent(0), at(0));
    let row = dispatch.poll_send(at(0)).unwrap();
    dispatch.handle_failed(1, row.id, "no".to_owned(), at(1), 0);
    dispatch.handle_event(&back(), at(5));
    assert_eq!(told(&mut dispatch, 10), [], "it rests");
    assert_eq!(told(&mut dispatch, 11), [(1, "begin"), (1, "end")]);
    // The same while it is on its way.
    dispatch.handle_event(&silent(20), at(20));
    let row = dispatch.poll_send(at(20)).unwrap();
    dispatch.handle_event(&back(), at(21));
    dispatch.handle_sent(1, row.id, at(22));
    assert_eq!(told(&mut dispatch, 22), [(1, "end")]);
    let drops = dispatch.take_changes().into_iter().filter(|change| matches!(change, OutboxChange::Drop(_))).count();
    assert_eq!(drops, 4, "nothing is left");
}

#[test]
fn the_same_trouble_is_known_by_its_beginning_or_for_a_day() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "0s")])]);
    dispatch.handle_event(&silent(0), at(0));
    assert_eq!(told(&mut dispatch, 0), [(1, "begin")]);
    dispatch.handle_event(&silent(0), at(500_000));
    assert_eq!(told(&mut dispatch, 500_000), [], "one outage");
    dispatch.handle_event(&silent(500_001), at(500_002));
    assert_eq!(told(&mut dispatch, 500_002), [(1, "begin")], "another one: the end of the first was missed");
    let grey = || event(1, None, Fact::Greylisted { reason: "later".to_owned() });
    for (second, count) in [(0, 1), (3_600, 0), (86_500, 1)] {
        dispatch.handle_event(&grey(), at(600_000 + second));
        assert_eq!(told(&mut dispatch, 600_000 + second).len(), count, "{second}");
    }
    dispatch.handle_age(at(600_000 + 86_500 + 32 * 86_400));
    assert!(dispatch.open.keys().all(|(_, key)| !key.starts_with("grey")));
}

#[test]
fn what_waits_for_one_channel_is_bounded_and_what_is_lost_is_counted() {
    let mut dispatch = dispatch(vec![channel(1, None, &[("kinds", "all")])]);
    for account in 0..WAITING_PER_CHANNEL_MAX as i64 + 3 {
        dispatch.handle_event(&event(account, Some(0), Fact::Silent), at(0));
    }
    let Some(OutboxChange::Note(1, record)) = dispatch.take_changes().pop() else { panic!() };
    assert_eq!(record.lost_total, 3);
    assert_eq!(told(&mut dispatch, 1).len(), WAITING_PER_CHANNEL_MAX);
}

#[test]
fn a_clock_that_goes_back_by_a_year_keeps_nothing_waiting() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("delay", "2m")])]);
    dispatch.handle_event(&silent(0), at(0));
    assert_eq!(told(&mut dispatch, -31_000_000), [(1, "begin")]);
}

#[test]
fn a_channel_that_is_removed_takes_its_alerts_along() {
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[]), channel(2, Some(1), &[])]);
    dispatch.handle_event(&silent(0), at(0));
    dispatch.handle_channels(vec![channel(2, Some(1), &[])]);
    assert_eq!(told(&mut dispatch, 120), [(2, "begin")]);
}

#[derive(Clone, Debug)]
enum Step {
    Silent,
    Back,
    Pass(i64),
    Send(bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        2 => Just(Step::Silent),
        2 => Just(Step::Back),
        3 => (1i64..400).prop_map(Step::Pass),
        1 => (3_600i64..30_000).prop_map(Step::Pass),
        4 => any::<bool>().prop_map(Step::Send),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Whatever happens in whatever order, also over restarts: beginnings and ends take turns, none is told in quiet
    /// hours or before the delay, none is told that was over before anybody tried, and at the end the reader knows
    /// the truth.
    #[test]
    fn a_reader_knows_the_truth_in_the_end(steps in steps(), delay in prop::sample::select(vec![0u64, 60, 600])) {
        let quiet = "08:30-11:00";
        let delay_text = format!("{delay}s");
        let set: &[(&str, &str)] = &[("delay", &delay_text), ("quiet", quiet)];
        let mut disk = AlertRows { channels: vec![channel(1, Some(1), set)], outbox: Vec::new() };
        let mut dispatch = Dispatch::new(disk.clone());
        let (mut now, mut is_down, mut down_since) = (0i64, false, 0i64);
        let mut read: Vec<Outgoing> = Vec::new();
        let lost = std::cell::Cell::new(false);
        let send = |dispatch: &mut Dispatch, now: i64, works: bool, read: &mut Vec<Outgoing>| {
            let Some(row) = dispatch.poll_send(at(now)) else { return };
            let quiet: crate::alert::quiet::Quiet = quiet.parse().unwrap();
            // A retry and what rests behind it are moved out of quiet hours as well.
            assert!(!quiet.is_quiet(chrono_tz::UTC, row.due_at.max(row.made_at)), "{row:?}");
            if row.event.fact.phase() == Phase::Begin {
                assert!(at(now) >= row.made_at + Duration::from_secs(delay));
            }
            if works {
                dispatch.handle_sent(1, row.id, at(now));
                read.push(row);
            } else {
                lost.set(lost.get() | dispatch.handle_failed(1, row.id, "no".to_owned(), at(now), 7));
            }
        };
        for step in steps {
            match step {
                Step::Silent if !is_down => {
                    (is_down, down_since) = (true, now);
                    dispatch.handle_event(&silent(now), at(now));
                }
                // Told twice, as after a restart.
                Step::Silent => dispatch.handle_event(&silent(down_since), at(now)),
                Step::Back => {
                    is_down = false;
                    dispatch.handle_event(&back(), at(now));
                }
                Step::Pass(seconds) => now += seconds,
                Step::Send(works) => send(&mut dispatch, now, works, &mut read),
                Step::Restart => {
                    // It takes its time.
                    now += 1;
                    restarted(&mut dispatch, &mut disk);
                }
            }
        }
        // Everything works again, and time passes.
        while let Some(next) = dispatch.poll_timeout() {
            now = now.max((next - at(0)).num_seconds() + 1);
            send(&mut dispatch, now, true, &mut read);
        }
        if lost.get() {
            // Given up after a day of failures, which is counted and shown.
            return Ok(());
        }
        let phases: Vec<Phase> = read.iter().map(|row| row.event.fact.phase()).collect();
        for pair in phases.windows(2) {
            prop_assert_ne!(pair[0], pair[1], "{:?}", phases);
        }
        prop_assert_ne!(phases.first(), Some(&Phase::End));
        let is_told_down = phases.last() == Some(&Phase::Begin);
        prop_assert_eq!(is_told_down, is_down, "{:?}", phases);
        let mut ids: Vec<i64> = read.iter().map(|row| row.id).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), read.len());
    }
}

#[test]
fn kinds_of_a_channel_are_kept_apart() {
    let only = Kinds::NONE.with(Kind::Quota).to_string();
    let mut dispatch = dispatch(vec![channel(1, Some(1), &[("kinds", &only), ("delay", "0s")])]);
    dispatch.handle_event(&silent(0), at(0));
    dispatch.handle_event(&event(1, None, Fact::Quota { percent: 81, held_bytes: 81, limit_bytes: 100 }), at(0));
    assert_eq!(told(&mut dispatch, 0), [(1, "begin")]);
    dispatch.handle_event(&event(1, None, Fact::QuotaWell), at(9));
    assert_eq!(told(&mut dispatch, 9), [(1, "end")]);
}
