//! Is the mail server of an account without beats there? Decides when it is called; `driver` calls.
//!
//! A greeting counts as a beat for the state machine of liveness, silence as a missed one: nothing else ends an outage
//! or begins one. What calls itself the customer's server is not proof that it is.

pub mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{AccountId, EndpointId, Moment};

/// Calls at one time over all accounts: each is one socket for [`Rhythm::timeout`] at most.
pub const PROBES_AT_ONCE_MAX: usize = 200;
/// Between two calls of a server, at most.
const EVERY_MAX: Duration = Duration::from_secs(10);
/// How long an absent server is called at the full pace.
pub const EAGER_FOR: Duration = Duration::from_secs(3_600);
/// The pace after that.
pub const SLOW_EVERY: Duration = Duration::from_secs(60);

/// The pace of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rhythm {
    /// Between the begins of two calls: 10 s where heartbeats have 5 s.
    pub every: Duration,
}

impl Rhythm {
    /// Two intervals of the heartbeats, 10 s at most: a greeting vouches for an address for 20 s.
    #[must_use]
    pub fn of_beats(interval: Duration) -> Self {
        Self { every: interval.saturating_mul(2).min(EVERY_MAX) }
    }

    /// How long a call may take, 8 s of 10: the next one never meets it.
    #[must_use]
    pub fn timeout(self) -> Duration {
        self.every * 4 / 5
    }

    /// The interval that liveness is told, 13 s of 10: the third of three missed calls has had its whole time
    /// before three of these intervals are over, whatever the grace.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.every * 13 / 10
    }
}

#[derive(Clone, Debug)]
struct Entry {
    account: AccountId,
    targets: Vec<SocketAddr>,
    updated_at: Moment,
    expiry: Option<Duration>,
    /// Where the last greeting that counted came from, and when.
    greeted: Option<(SocketAddr, Moment)>,
    /// The last beat before the server was called: of a client that is to be forgotten.
    beat_before: Option<Moment>,
    /// It was told that the update has run out.
    is_told: bool,
}

impl Entry {
    /// A plain update that has run out vouches for no address any more.
    fn has_run_out(&self, now: Moment) -> bool {
        self.expiry.is_some_and(|expiry| now.since(self.updated_at) >= expiry)
    }
}

/// One address that is called, for all servers that are said to be there.
#[derive(Clone, Copy, Debug)]
struct Place {
    due: Moment,
    is_running: bool,
    failing_since: Option<Moment>,
}

/// All servers that are called. An address is called once for everybody who names it, and never more often than each
/// [`Rhythm::every`], however often an account changes its mind: whoever sits there did not ask for it.
#[derive(Debug)]
pub struct ProbePlan {
    rhythm: Rhythm,
    entries: BTreeMap<EndpointId, Entry>,
    places: BTreeMap<SocketAddr, Place>,
}

impl ProbePlan {
    /// Nobody is called.
    #[must_use]
    pub const fn new(rhythm: Rhythm) -> Self {
        Self { rhythm, entries: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// An update was accepted: the server is called at once if it is new or elsewhere now. A repeated update does not
    /// hurry anything.
    pub fn set(
        &mut self,
        (endpoint, account): (EndpointId, AccountId),
        targets: Vec<SocketAddr>,
        expiry: Option<Duration>,
        now: Moment,
    ) {
        let is_elsewhere = self.entries.get(&endpoint).is_none_or(|known| known.targets != targets);
        for target in &targets {
            let fresh = Place { due: now, is_running: false, failing_since: None };
            let place = self.places.entry(*target).or_insert(fresh);
            if is_elsewhere {
                place.due = place.due.min(now + self.rhythm.every);
            }
        }
        let known = self.entries.get(&endpoint);
        let (greeted, beat_before) = known.map_or((None, None), |known| (known.greeted, known.beat_before));
        self.entries.insert(
            endpoint,
            Entry { account, targets, updated_at: now, expiry, greeted, beat_before, is_told: false },
        );
    }

    /// A beat that came before the server was called says nothing of now.
    pub fn set_beat_before(&mut self, endpoint: EndpointId, beat: Option<Moment>) {
        if let Some(entry) = self.entries.get_mut(&endpoint) {
            entry.beat_before = beat;
        }
    }

    /// Calls the server no more.
    pub fn remove(&mut self, endpoint: EndpointId) {
        self.entries.remove(&endpoint);
    }

    /// Whether the server is called.
    #[must_use]
    pub fn has(&self, endpoint: EndpointId) -> bool {
        self.entries.contains_key(&endpoint)
    }

    /// What an account settled has changed.
    pub fn set_expiry(&mut self, account: AccountId, expiry: Option<Duration>) {
        for entry in self.entries.values_mut().filter(|entry| entry.account == account) {
            entry.expiry = expiry;
        }
    }

    /// The servers that are called at this address.
    pub fn servers_at(&self, target: SocketAddr) -> impl Iterator<Item = EndpointId> + '_ {
        self.entries.iter().filter(move |(_, entry)| entry.targets.contains(&target)).map(|(endpoint, _)| *endpoint)
    }

    /// The servers whose update has run out since the last look.
    pub fn take_run_out(&mut self, now: Moment) -> Vec<(EndpointId, AccountId)> {
        let over = self.entries.iter_mut().filter(|(_, entry)| !entry.is_told && entry.has_run_out(now));
        over.map(|(endpoint, entry)| {
            entry.is_told = true;
            (*endpoint, entry.account)
        })
        .collect()
    }

    /// Every server that is called.
    pub fn servers(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.entries.keys().copied()
    }

    /// Whether the newest beat of a server that is called is a client's, and not a greeting that was counted as one.
    #[must_use]
    pub fn is_of_client(&self, endpoint: EndpointId, newest: Moment) -> bool {
        let entry = self.entries.get(&endpoint);
        entry.is_some_and(|entry| entry.beat_before != Some(newest) && entry.greeted.is_none_or(|(_, at)| at != newest))
    }

    /// The addresses to be called now, `calls_max` at most, the longest due first.
    pub fn poll(&mut self, now: Moment, calls_max: usize) -> Vec<SocketAddr> {
        let valid = self.entries.values().filter(|entry| !entry.has_run_out(now));
        let wanted: BTreeSet<SocketAddr> = valid.flat_map(|entry| entry.targets.iter().copied()).collect();
        // A place that nobody names is remembered until it might be called again.
        self.places.retain(|target, place| wanted.contains(target) || place.is_running || place.due > now);
        let is_due =
            |target: &SocketAddr, place: &Place| wanted.contains(target) && !place.is_running && place.due <= now;
        let ripe = self.places.iter().filter(|(target, place)| is_due(target, place));
        let mut calls: Vec<(Moment, SocketAddr)> = ripe.map(|(target, place)| (place.due, *target)).collect();
        calls.sort_unstable();
        calls.truncate(calls_max);
        for (_, target) in &calls {
            let Some(place) = self.places.get_mut(target) else { continue };
            let is_slow = place.failing_since.is_some_and(|since| now.since(since) >= EAGER_FOR);
            place.due = now + if is_slow { SLOW_EVERY } else { self.rhythm.every };
            place.is_running = true;
        }
        calls.into_iter().map(|(_, target)| target).collect()
    }

    /// A call has ended at `now`. Returns for whom a greeting counts as a beat: whoever still names this address, has an
    /// update that has not run out, and is not greeted at its other address already. For the `doubted`, who did not prove
    /// themselves there, it does not count.
    pub fn handle_result(
        &mut self,
        target: SocketAddr,
        has_greeted: bool,
        doubted: &[EndpointId],
        now: Moment,
    ) -> Vec<(EndpointId, AccountId)> {
        if let Some(place) = self.places.get_mut(&target) {
            place.is_running = false;
            if has_greeted {
                place.failing_since = None;
                // A call of the slow pace had set the next one far off.
                place.due = place.due.min(now + self.rhythm.every);
            } else {
                place.failing_since.get_or_insert(now);
            }
        }
        if !has_greeted {
            return Vec::new();
        }
        let patience = self.rhythm.every + self.rhythm.timeout();
        let mut counts = Vec::new();
        for (endpoint, entry) in &mut self.entries {
            let is_named = entry.targets.contains(&target) && !entry.has_run_out(now) && !doubted.contains(endpoint);
            let other = entry
                .greeted
                .filter(|(other, at)| *other != target && entry.targets.contains(other) && now.since(*at) < patience);
            // The address of a server with two must not change with each call: mail waits for it to settle.
            if is_named && other.is_none() {
                entry.greeted = Some((target, now));
                counts.push((*endpoint, entry.account));
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::{Beat, LineState, Machine, Settings, WatchedEndpoint};

    const RHYTHM: Rhythm = Rhythm { every: Duration::from_secs(10) };
    const ONE: (EndpointId, AccountId) = (EndpointId(1), AccountId(1));

    fn at(second: u64) -> Moment {
        Moment::from_millis(1_000_000 + second * 1_000)
    }

    fn targets(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([203, 0, 113, last], 25))]
    }

    /// Seconds at which the server is called when every call ends at once with `has_greeted`.
    fn calls(plan: &mut ProbePlan, seconds: std::ops::Range<u64>, has_greeted: bool) -> Vec<u64> {
        let mut begun = Vec::new();
        for second in seconds {
            for target in plan.poll(at(second), 10) {
                begun.push(second);
                plan.handle_result(target, has_greeted, &[], at(second));
            }
        }
        begun
    }

    #[test]
    fn a_server_is_called_each_10_s_for_an_hour_of_silence_and_then_each_60_s() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), None, at(0));
        assert_eq!(calls(&mut plan, 0..31, true), [0, 10, 20, 30]);
        let silent = calls(&mut plan, 31..8_000, false);
        assert_eq!(silent.iter().filter(|second| **second < 3_640).count(), 360);
        let late: Vec<u64> = silent.into_iter().filter(|second| *second > 3_700).collect();
        assert!(late.windows(2).all(|pair| pair[1] - pair[0] == 60), "{late:?}");
        let back = calls(&mut plan, 8_000..8_200, true);
        assert!(
            back.windows(2).all(|pair| pair[1] - pair[0] == 10),
            "the first greeting brings the pace back: {back:?}"
        );
    }

    #[test]
    fn three_calls_have_had_their_whole_time_before_liveness_gives_up() {
        for interval in [1, 5, 60] {
            let rhythm = Rhythm::of_beats(Duration::from_secs(interval));
            assert!(rhythm.every * 3 + rhythm.timeout() <= rhythm.interval() * 3);
        }
        assert_eq!(Rhythm::of_beats(Duration::from_secs(5)), RHYTHM);
    }

    #[test]
    fn an_address_is_called_once_for_all_who_name_it_and_never_more_often() {
        let mut plan = ProbePlan::new(RHYTHM);
        let two = (EndpointId(2), AccountId(2));
        plan.set(ONE, targets(1), None, at(0));
        plan.set(two, [targets(1), targets(2)].concat(), None, at(0));
        assert_eq!(plan.poll(at(0), 10), [targets(1), targets(2)].concat());
        assert!(plan.poll(at(100), 10).is_empty(), "a call that has not ended is not doubled");
        assert_eq!(plan.handle_result(targets(1)[0], true, &[], at(100)), [ONE, two]);
        // Somebody who changes his mind each second has nobody called each second.
        let mut called = 0;
        for second in 200..300u64 {
            plan.set(ONE, targets(if second % 2 == 0 { 3 } else { 4 }), None, at(second));
            plan.remove(two.0);
            for target in plan.poll(at(second), 10) {
                called += usize::from(target == targets(3)[0]);
                plan.handle_result(target, false, &[], at(second));
            }
        }
        assert!(called <= 10, "{called}");
        for last in 10..20 {
            plan.set((EndpointId(i64::from(last)), AccountId(3)), targets(last), None, at(400));
        }
        assert_eq!(plan.poll(at(400), 3).len(), 3);
    }

    #[test]
    fn a_new_address_is_called_at_once_and_an_old_answer_says_nothing_of_it() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), None, at(0));
        plan.poll(at(0), 10);
        plan.set(ONE, targets(2), None, at(1));
        assert!(plan.handle_result(targets(1)[0], true, &[], at(2)).is_empty());
        assert_eq!(plan.poll(at(2), 10), targets(2));
        assert_eq!(plan.handle_result(targets(2)[0], true, &[], at(2)), [ONE]);
        plan.set(ONE, targets(2), None, at(3));
        assert!(plan.poll(at(3), 10).is_empty(), "a repeated update hurries nothing");
    }

    #[test]
    fn a_server_with_two_addresses_keeps_the_one_that_greets() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, [targets(1), targets(2)].concat(), None, at(0));
        let (first, second) = (targets(1)[0], targets(2)[0]);
        assert_eq!(plan.handle_result(second, true, &[], at(0)), [ONE]);
        assert!(plan.handle_result(first, true, &[], at(1)).is_empty());
        assert_eq!(plan.handle_result(second, true, &[], at(10)), [ONE]);
        plan.handle_result(second, false, &[], at(20));
        assert!(plan.handle_result(first, true, &[], at(21)).is_empty(), "one failed call changes nothing");
        plan.handle_result(second, false, &[], at(30));
        assert_eq!(plan.handle_result(first, true, &[], at(31)), [ONE]);
        assert!(plan.handle_result(second, true, &[], at(40)).is_empty());
    }

    #[test]
    fn an_update_that_ran_out_vouches_for_no_address() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), Some(Duration::from_secs(300)), at(0));
        assert_eq!(calls(&mut plan, 0..1_000, true).last(), Some(&290));
        plan.set(ONE, targets(1), Some(Duration::from_secs(300)), at(1_000));
        assert_eq!(calls(&mut plan, 1_000..1_001, true), [1_000]);
    }

    /// Runs plan and state machine against a server that greets in `delay` ms until `dies_at` and then, if `is_mute`,
    /// lets every call run into its time, or else refuses at once; when it is OFFLINE, ms after its last greeting.
    fn offline_after(delay: u64, dies_at: u64, is_mute: bool) -> (u64, u32) {
        let settings = Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) };
        let watched = WatchedEndpoint::new(ONE.1, ONE.0);
        let start = at(0);
        let wall = |now: Moment| chrono::DateTime::UNIX_EPOCH + now.since(Moment::default());
        let mut machine = Machine::new(settings, watched, start);
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), None, start);
        let mut running: Option<(Moment, bool)> = None;
        let (mut last, mut failures) = (start, 0);
        for tick in 0..2_000 {
            let now = start + Duration::from_millis(tick * 100);
            let lives = now < start + Duration::from_millis(dies_at);
            if let Some((_, greets)) = running.take_if(|(ends, _)| *ends <= now) {
                let counts = !plan.handle_result(targets(1)[0], greets, &[], now).is_empty();
                if counts {
                    let interval = RHYTHM.interval();
                    let address = targets(1)[0].ip();
                    let beat = Beat {
                        path: 0,
                        base: now,
                        at: now,
                        interval,
                        address,
                        mail_ok: None,
                        loss_percent: 0.0,
                        unanswered_percent: None,
                    };
                    machine.handle_beat(&beat, wall(now));
                    machine.handle_greeting(now, wall(now));
                    (last, failures) = (now, 0);
                } else {
                    failures += 1;
                }
            }
            if !plan.poll(now, 1).is_empty() {
                let takes = if lives {
                    delay
                } else if is_mute {
                    8_000
                } else {
                    0
                };
                running = Some((now + Duration::from_millis(takes), lives));
            }
            machine.handle_timeout(now, wall(now));
            if machine.state() == LineState::Offline {
                return (now.as_millis() - last.as_millis(), failures);
            }
        }
        panic!("never noticed")
    }

    #[test]
    fn an_outage_without_beats_is_noticed_within_41_s_and_never_before_three_calls_failed() {
        for delay in [0, 300, 3_000, 7_900] {
            for dies_at in (60_000..80_000).step_by(700) {
                for is_mute in [false, true] {
                    let (after, failures) = offline_after(delay, dies_at, is_mute);
                    assert!(after <= 41_100, "{delay} {dies_at} {is_mute}: {after} ms");
                    assert!(failures >= 3, "{delay} {dies_at} {is_mute}: {failures} calls");
                }
            }
        }
    }
}
