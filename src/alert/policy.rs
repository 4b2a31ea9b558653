//! Decides whether a change of a line is worth a person's attention.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::liveness::guard::{Alarm, End};
use crate::liveness::{Cause, LineState, Transition, WatchedEndpoint};

/// How long a server that said goodbye may stay away before somebody is told: long enough for updates.
pub const GOODBYE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// How often it is looked whether a holiday was ended early.
const HOLIDAY_LOOK: Duration = Duration::from_secs(3_600);

/// Between two notices that our own timers came late: an overloaded machine says it once an hour.
pub const LATE_TIMERS_APART: Duration = Duration::from_secs(3_600);

/// Whom a notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// One server of a customer.
    Server {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
    },
    /// This service: the operator's matter alone.
    Service,
}

/// Something a person is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Whom it is about.
    pub subject: Subject,
    /// What about it.
    pub kind: NoticeKind,
}

impl Notice {
    const fn of(account: AccountId, endpoint: EndpointId, kind: NoticeKind) -> Self {
        Self { subject: Subject::Server { account, endpoint }, kind }
    }
}

/// What is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    /// The server fell silent.
    Silent {
        /// When the first missed beat was due.
        since: WallTime,
    },
    /// The server said goodbye and has not come back.
    StaysAway {
        /// When it said so.
        since: WallTime,
    },
    /// The server is back after one of the two above.
    Back {
        /// Length of the outage.
        after: Duration,
    },
    /// The server comes and goes.
    Flapping {
        /// How long its name keeps its record, to begin with.
        held_for: Duration,
    },
    /// So many lines are silent that the fault is taken to be ours. Nobody is neutralised meanwhile.
    MassMiss {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard, these included.
        heard: u64,
    },
    /// Heartbeats are dropped before we read them. Nobody is neutralised meanwhile.
    Overload {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard, these included.
        heard: u64,
    },
    /// That, or a mass miss, is over.
    MassMissOver {
        /// Since it was told.
        after: Duration,
        /// What ended it.
        end: End,
        /// Lines that are still silent.
        silent: u64,
    },
    /// Our own timers came late; every line got a full window.
    TimersLate {
        /// How late.
        by: Duration,
    },
}

/// What is known of an outage that is going on.
#[derive(Clone, Copy, Debug)]
enum Episode {
    /// A goodbye; nobody was told yet.
    Planned { since: WallTime, tell_at: Moment },
    /// Somebody was told.
    Told { since: WallTime },
}

/// Episodes of all lines. Reads no clock.
///
/// Call `handle_*`, drain `poll_notice`, then sleep until `poll_timeout`.
#[derive(Debug, Default)]
pub struct Policy {
    episodes: BTreeMap<EndpointId, (AccountId, Episode)>,
    notices: VecDeque<Notice>,
    late_told: Option<Moment>,
}

impl Policy {
    /// Goes on with the outages that `watched` says were going on when the service stopped: what was told then is not
    /// told again, what was to be told is told when its time has come.
    #[must_use]
    pub fn resume(watched: &[WatchedEndpoint], now: Moment, wall: WallTime) -> Self {
        let mut policy = Self::default();
        policy.handle_states(watched, now, wall);
        policy
    }

    /// Takes over the states of all lines as they are stored: at the start, and where changes were missed.
    pub fn handle_states(&mut self, watched: &[WatchedEndpoint], now: Moment, wall: WallTime) {
        for line in watched {
            let (account, endpoint) = (line.account, line.endpoint);
            if line.state == LineState::Online {
                self.end_episode(account, endpoint, line.since.unwrap_or(wall));
                continue;
            }
            if self.episodes.contains_key(&endpoint) {
                continue;
            }
            let episode = match (line.state, line.told_since, line.since) {
                (LineState::Offline | LineState::Returning, Some(since), _) => Episode::Told { since },
                (LineState::Offline, None, Some(since)) if line.cause == Some(Cause::Goodbye) => {
                    let waited = (wall - since).to_std().unwrap_or_default();
                    Episode::Planned { since, tell_at: now + GOODBYE_PATIENCE.saturating_sub(waited) }
                }
                (LineState::Offline, None, Some(since)) => {
                    self.notices.push_back(Notice::of(account, endpoint, NoticeKind::Silent { since }));
                    Episode::Told { since }
                }
                (_, _, _) => continue,
            };
            self.episodes.insert(endpoint, (account, episode));
        }
    }

    fn end_episode(&mut self, account: AccountId, endpoint: EndpointId, at: WallTime) {
        if let Some((_, Episode::Told { since })) = self.episodes.remove(&endpoint) {
            let after = (at - since).to_std().unwrap_or_default();
            self.notices.push_back(Notice::of(account, endpoint, NoticeKind::Back { after }));
        }
    }

    /// A line changed its state.
    pub fn handle_transition(&mut self, row: &Transition, now: Moment) {
        let (account, endpoint) = (row.account, row.endpoint);
        match (row.to, row.cause) {
            (LineState::Offline, Cause::Goodbye) => {
                let episode = Episode::Planned { since: row.since, tell_at: now + GOODBYE_PATIENCE };
                self.episodes.entry(endpoint).or_insert((account, episode));
            }
            (LineState::Offline, _) => {
                let told = matches!(self.episodes.get(&endpoint), Some((_, Episode::Told { .. })));
                if !told {
                    self.episodes.insert(endpoint, (account, Episode::Told { since: row.since }));
                    self.notices.push_back(Notice::of(account, endpoint, NoticeKind::Silent { since: row.since }));
                }
            }
            (LineState::Online, _) => self.end_episode(account, endpoint, row.at),
            // RETURNING is half a return; the other states are never rows.
            (LineState::New | LineState::Suspect | LineState::Returning, _) => {}
        }
    }

    /// Liveness raised an alarm.
    pub fn handle_alarm(&mut self, alarm: Alarm, now: Moment) {
        let kind = match alarm {
            Alarm::Flapping { account, endpoint, held_for } => {
                self.notices.push_back(Notice::of(account, endpoint, NoticeKind::Flapping { held_for }));
                return;
            }
            Alarm::TimersLate { .. } if self.late_told.is_some_and(|at| now.since(at) < LATE_TIMERS_APART) => return,
            Alarm::TimersLate { by } => {
                self.late_told = Some(now);
                NoticeKind::TimersLate { by }
            }
            Alarm::MassMiss { silent, heard } => NoticeKind::MassMiss { silent, heard },
            Alarm::Overload { silent, heard } => NoticeKind::Overload { silent, heard },
            Alarm::MassMissOver { after, end, silent } => NoticeKind::MassMissOver { after, end, silent },
        };
        self.notices.push_back(Notice { subject: Subject::Service, kind });
    }

    /// Time has passed. `away` says how long the announced absence of an account still lasts: meanwhile a goodbye is no
    /// news, and afterwards its server has the usual patience to come back.
    pub fn handle_timeout(&mut self, away: &dyn Fn(AccountId) -> Option<Duration>, now: Moment) {
        for (endpoint, (account, episode)) in &mut self.episodes {
            if let Episode::Planned { since, tell_at } = *episode
                && tell_at <= now
            {
                if let Some(left) = away(*account) {
                    let tell_at = now + left.saturating_add(GOODBYE_PATIENCE).min(HOLIDAY_LOOK);
                    *episode = Episode::Planned { since, tell_at };
                    continue;
                }
                *episode = Episode::Told { since };
                let kind = NoticeKind::StaysAway { since };
                self.notices.push_back(Notice::of(*account, *endpoint, kind));
            }
        }
    }

    /// The outage that a notice is about, if somebody is told of it by that: to be remembered over a restart.
    #[must_use]
    pub const fn outage_told(notice: &Notice) -> Option<(EndpointId, WallTime)> {
        match (notice.subject, &notice.kind) {
            (Subject::Server { endpoint, .. }, NoticeKind::Silent { since } | NoticeKind::StaysAway { since }) => {
                Some((endpoint, *since))
            }
            (Subject::Server { .. } | Subject::Service, _) => None,
        }
    }

    /// The next thing to tell.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.episodes
            .values()
            .filter_map(|(_, episode)| match episode {
                Episode::Planned { tell_at, .. } => Some(*tell_at),
                Episode::Told { .. } => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(seconds: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_800_000_000 + seconds, 0).unwrap()
    }

    fn row(to: LineState, cause: Cause, seconds: i64) -> Transition {
        let (from, when) = (LineState::Online, at(seconds));
        let (account, endpoint) = (AccountId(1), EndpointId(2));
        Transition { account, endpoint, from, to, cause, at: when, since: when, address: None }
    }

    fn told(policy: &mut Policy) -> Vec<NoticeKind> {
        std::iter::from_fn(|| policy.poll_notice()).map(|notice| notice.kind).collect()
    }

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let mut policy = Policy::default();
        let now = Moment::from_millis(0);
        policy.handle_transition(&row(LineState::Offline, Cause::MissedBeats, 0), now);
        policy.handle_transition(&row(LineState::Returning, Cause::Beat, 30), now);
        policy.handle_transition(&row(LineState::Offline, Cause::MissedBeats, 60), now);
        policy.handle_transition(&row(LineState::Online, Cause::Confirmed, 90), now);
        let back = NoticeKind::Back { after: Duration::from_secs(90) };
        assert_eq!(told(&mut policy), [NoticeKind::Silent { since: at(0) }, back]);
        policy.handle_transition(&row(LineState::Online, Cause::Confirmed, 91), now);
        assert_eq!(told(&mut policy), []);
    }

    #[test]
    fn an_outage_of_our_own_is_the_operators_matter_and_late_timers_are_told_once_an_hour() {
        let mut policy = Policy::default();
        let by = Duration::from_secs(3);
        let at = |second: u64| Moment::from_millis(second * 1_000);
        for second in [10, 20, 3_609, 3_610] {
            policy.handle_alarm(Alarm::TimersLate { by }, at(second));
        }
        policy.handle_alarm(Alarm::MassMiss { silent: 40, heard: 50 }, at(4_000));
        let notices: Vec<Notice> = std::iter::from_fn(|| policy.poll_notice()).collect();
        assert!(notices.iter().all(|notice| notice.subject == Subject::Service));
        let kinds: Vec<NoticeKind> = notices.into_iter().map(|notice| notice.kind).collect();
        let late = NoticeKind::TimersLate { by };
        assert_eq!(kinds, [late.clone(), late, NoticeKind::MassMiss { silent: 40, heard: 50 }]);
    }

    #[test]
    fn changes_that_were_missed_are_made_up_for() {
        let mut policy = Policy::default();
        let now = Moment::from_millis(0);
        policy.handle_transition(&row(LineState::Offline, Cause::MissedBeats, 0), now);
        assert_eq!(told(&mut policy).len(), 1);
        let line = |id, state, since| WatchedEndpoint {
            state,
            cause: Some(Cause::MissedBeats),
            since: Some(at(since)),
            ..WatchedEndpoint::new(AccountId(1), EndpointId(id))
        };
        let watched = [line(2, LineState::Online, 60), line(3, LineState::Offline, 70), line(4, LineState::Online, 5)];
        policy.handle_states(&watched, now, at(80));
        let back = NoticeKind::Back { after: Duration::from_secs(60) };
        assert_eq!(told(&mut policy), [back, NoticeKind::Silent { since: at(70) }]);
        policy.handle_states(&watched, now, at(81));
        assert_eq!(told(&mut policy), []);
    }

    #[test]
    fn a_restart_tells_nothing_twice_and_forgets_nothing() {
        let line = |id, state, cause, since: i64, told: Option<i64>| WatchedEndpoint {
            state,
            cause: Some(cause),
            since: Some(at(since)),
            told_since: told.map(at),
            ..WatchedEndpoint::new(AccountId(id), EndpointId(id))
        };
        let watched = [
            line(1, LineState::Offline, Cause::MissedBeats, 0, Some(0)),
            line(2, LineState::Returning, Cause::Beat, 900, Some(5)),
            line(3, LineState::Offline, Cause::MissedBeats, 990, None),
            line(4, LineState::Offline, Cause::Goodbye, 400, None),
            line(5, LineState::Offline, Cause::Goodbye, 10, Some(10)),
            line(6, LineState::Online, Cause::Confirmed, 10, None),
        ];
        let now = Moment::from_millis(77_000);
        let mut policy = Policy::resume(&watched, now, at(1_000));
        let notices = |policy: &mut Policy| -> Vec<(i64, NoticeKind)> {
            std::iter::from_fn(|| policy.poll_notice())
                .map(|notice| match notice.subject {
                    Subject::Server { account, .. } => (account.0, notice.kind),
                    Subject::Service => (0, notice.kind),
                })
                .collect()
        };
        assert_eq!(notices(&mut policy), [(3, NoticeKind::Silent { since: at(990) })], "it was not told in time");
        assert_eq!(policy.poll_timeout(), Some(now + Duration::from_secs(1_200)));
        policy.handle_timeout(&|_| None, now + Duration::from_secs(1_200));
        assert_eq!(notices(&mut policy), [(4, NoticeKind::StaysAway { since: at(400) })]);
        for id in [1, 2, 6] {
            let (account, endpoint) = (AccountId(id), EndpointId(id));
            policy.handle_transition(
                &Transition { account, endpoint, ..row(LineState::Online, Cause::Confirmed, 2_000) },
                now,
            );
        }
        let back = |after| NoticeKind::Back { after: Duration::from_secs(after) };
        assert_eq!(notices(&mut policy), [(1, back(2_000)), (2, back(1_995))]);
    }

    #[test]
    fn a_goodbye_in_a_holiday_is_told_only_when_the_server_stays_away_after_it() {
        let mut policy = Policy::default();
        let mut now = Moment::from_millis(0);
        policy.handle_transition(&row(LineState::Offline, Cause::Goodbye, 0), now);
        let ends = now + Duration::from_secs(5 * 3_600);
        let away = |now: Moment| Some(ends.since(now)).filter(|left| !left.is_zero());
        while now < ends {
            now = policy.poll_timeout().unwrap();
            policy.handle_timeout(&|_| away(now), now);
            if now < ends + GOODBYE_PATIENCE {
                assert_eq!(told(&mut policy), []);
            }
        }
        while let Some(at) = policy.poll_timeout() {
            now = at;
            policy.handle_timeout(&|_| away(now), now);
        }
        assert_eq!(told(&mut policy), [NoticeKind::StaysAway { since: at(0) }]);
        assert!(now >= ends && now <= ends + HOLIDAY_LOOK, "{now:?}");
        policy.handle_transition(&row(LineState::Online, Cause::Confirmed, 90), now);
        policy.handle_transition(&row(LineState::Offline, Cause::MissedBeats, 95), now);
        assert_eq!(told(&mut policy).len(), 2, "silence without a goodbye is told, holiday or not");
    }

    #[test]
    fn a_goodbye_is_told_only_when_the_server_stays_away() {
        let mut policy = Policy::default();
        let now = Moment::from_millis(1_000);
        policy.handle_transition(&row(LineState::Offline, Cause::Goodbye, 0), now);
        policy.handle_timeout(&|_| None, now + GOODBYE_PATIENCE - Duration::from_millis(1));
        assert_eq!(told(&mut policy), []);
        assert_eq!(policy.poll_timeout(), Some(now + GOODBYE_PATIENCE));
        policy.handle_timeout(&|_| None, now + GOODBYE_PATIENCE);
        assert_eq!(told(&mut policy), [NoticeKind::StaysAway { since: at(0) }]);
        assert_eq!(policy.poll_timeout(), None);

        policy.handle_transition(&row(LineState::Offline, Cause::Goodbye, 10), now);
        policy.handle_transition(&row(LineState::Online, Cause::Confirmed, 20), now);
        assert_eq!(told(&mut policy), [NoticeKind::Back { after: Duration::from_secs(20) }]);
        policy.handle_transition(&row(LineState::Offline, Cause::Goodbye, 30), now);
        policy.handle_transition(&row(LineState::Online, Cause::Confirmed, 40), now);
        assert_eq!(told(&mut policy), [], "updates done in time are nobody's business");
    }
}
