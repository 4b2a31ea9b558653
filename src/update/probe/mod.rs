//! Is the mail server of an account without beats there? Decides when it is called; `driver` calls.
//!
//! A greeting counts as a beat for the state machine of liveness, silence as a missed one: nothing else ends an outage
//! or begins one. What calls itself the customer's server is not proof that it is.

pub mod driver;

use std::collections::BTreeMap;
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
    due: Moment,
    is_running: bool,
    failing_since: Option<Moment>,
    updated_at: Moment,
    expiry: Option<Duration>,
    counted: Option<Moment>,
}

/// One call: all servers that are said to be at these addresses. Two accounts that name one address share it, so that
/// nobody is called more often than each [`Rhythm::every`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Addresses of one server, one of each family at most.
    pub targets: Vec<SocketAddr>,
    /// Whose.
    pub endpoints: Vec<EndpointId>,
}

/// All servers that are called.
#[derive(Debug)]
pub struct ProbePlan {
    rhythm: Rhythm,
    entries: BTreeMap<EndpointId, Entry>,
}

impl ProbePlan {
    /// Nobody is called.
    #[must_use]
    pub const fn new(rhythm: Rhythm) -> Self {
        Self { rhythm, entries: BTreeMap::new() }
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
        let entry = self.entries.entry(endpoint).or_insert_with(|| Entry {
            account,
            targets: Vec::new(),
            due: now,
            is_running: false,
            failing_since: None,
            updated_at: now,
            expiry,
            counted: None,
        });
        (entry.updated_at, entry.expiry) = (now, expiry);
        if entry.targets != targets {
            entry.targets = targets;
            (entry.due, entry.is_running, entry.failing_since) = (now, false, None);
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

    /// Servers with the last greeting that was counted as a beat for them.
    pub fn counted(&self) -> impl Iterator<Item = (EndpointId, Option<Moment>)> + '_ {
        self.entries.iter().map(|(endpoint, entry)| (*endpoint, entry.counted))
    }

    /// The calls that are due, `calls_max` at most. A plain update that has run out vouches for no address any more.
    pub fn poll(&mut self, now: Moment, calls_max: usize) -> Vec<Call> {
        let is_ripe = |entry: &Entry| {
            let has_run_out = entry.expiry.is_some_and(|expiry| now.since(entry.updated_at) >= expiry);
            !entry.is_running && !has_run_out && !entry.targets.is_empty() && entry.due <= now
        };
        let mut due: BTreeMap<Vec<SocketAddr>, Vec<EndpointId>> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| is_ripe(entry)) {
            due.entry(entry.targets.clone()).or_default();
        }
        let calls: Vec<Vec<SocketAddr>> = due.keys().take(calls_max).cloned().collect();
        let mut begun = Vec::with_capacity(calls.len());
        for targets in calls {
            let mut endpoints = Vec::new();
            for (endpoint, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.targets == targets) {
                let is_slow = entry.failing_since.is_some_and(|since| now.since(since) >= EAGER_FOR);
                entry.due = now + if is_slow { SLOW_EVERY.max(self.rhythm.every) } else { self.rhythm.every };
                entry.is_running = true;
                endpoints.push(*endpoint);
            }
            begun.push(Call { targets, endpoints });
        }
        begun
    }

    /// A call has ended at `now`. The account if a greeting counts as a beat: not when the address changed, or the
    /// update ran out, in the meantime.
    pub fn handle_result(
        &mut self,
        endpoint: EndpointId,
        targets: &[SocketAddr],
        has_greeted: bool,
        now: Moment,
    ) -> Option<AccountId> {
        let entry = self.entries.get_mut(&endpoint).filter(|entry| entry.targets == targets)?;
        entry.is_running = false;
        if !has_greeted {
            entry.failing_since.get_or_insert(now);
            return None;
        }
        entry.failing_since = None;
        // A call of the slow pace had set the next one far off.
        entry.due = entry.due.min(now + self.rhythm.every);
        if entry.expiry.is_some_and(|expiry| now.since(entry.updated_at) >= expiry) {
            return None;
        }
        entry.counted = Some(now);
        Some(entry.account)
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
            for call in plan.poll(at(second), 10) {
                begun.push(second);
                for endpoint in call.endpoints {
                    plan.handle_result(endpoint, &call.targets, has_greeted, at(second));
                }
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
    fn two_accounts_that_name_one_address_share_one_call() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), None, at(0));
        plan.set((EndpointId(2), AccountId(2)), targets(1), None, at(0));
        let calls = plan.poll(at(0), 10);
        assert_eq!((calls.len(), calls[0].endpoints.len()), (1, 2));
        assert!(plan.poll(at(100), 10).is_empty(), "a call that has not ended is not doubled");
        plan.set((EndpointId(3), AccountId(3)), targets(3), None, at(0));
        plan.set((EndpointId(4), AccountId(4)), targets(4), None, at(0));
        assert_eq!(plan.poll(at(0), 1).len(), 1);
    }

    #[test]
    fn a_new_address_is_called_at_once_and_an_old_answer_says_nothing_of_it() {
        let mut plan = ProbePlan::new(RHYTHM);
        plan.set(ONE, targets(1), None, at(0));
        let call = plan.poll(at(0), 10);
        plan.set(ONE, targets(2), None, at(1));
        assert_eq!(plan.handle_result(ONE.0, &call[0].targets, true, at(2)), None);
        let call = plan.poll(at(2), 10);
        assert_eq!(call[0].targets, targets(2));
        assert_eq!(plan.handle_result(ONE.0, &targets(2), true, at(2)), Some(ONE.1));
        plan.set(ONE, targets(2), None, at(3));
        assert!(plan.poll(at(3), 10).is_empty(), "a repeated update hurries nothing");
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
        let watched = WatchedEndpoint {
            account: ONE.1,
            endpoint: ONE.0,
            state: LineState::New,
            since: None,
            no_data_since: None,
            interval: None,
        };
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
                let counts = plan.handle_result(ONE.0, &targets(1), greets, now).is_some();
                if counts {
                    let interval = RHYTHM.interval();
                    let address = targets(1)[0].ip();
                    let beat = Beat { base: now, at: now, interval, address, mail_ok: None, loss_percent: 0.0 };
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
