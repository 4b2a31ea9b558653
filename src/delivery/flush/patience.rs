//! After a connection has ended: when may the next one be made, and what is told to people?

use std::time::Duration;

use crate::base::Moment;
use crate::delivery::opening::OpenFailure;
use crate::delivery::schedule::{
    ConnectionFailure, GREYLISTING_WAIT, PLAIN_AFTER_FAILED_HANDSHAKE, REPORT_RETRY, RetryTimes, SHORT_CALL_GREETING,
    SHORT_CALLS,
};

/// How the work for one server ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LegEnd {
    /// Nothing is due there.
    NothingDue,
    /// Something was done; there may be more.
    Worked,
    /// No connection.
    NotOpened(OpenFailure),
    /// The connection broke, or its server asked for patience.
    Broken(String),
    /// The server is not ours, or refuses us.
    Identity(String),
    /// The primary refuses what it took before: everything is held, and one message is tried now and then.
    Held(String),
    /// The server wants to see us again later.
    Greylisted(String),
    /// Beats stopped to vouch for it, or we are closing down.
    Stopped(String),
    /// The spool failed.
    Spool,
}

/// The waits of one account that its failures impose.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Patience {
    /// Conversations in a row that ended badly.
    failures: u32,
    /// Calls in a row that nobody answered with a greeting.
    failed_calls: u32,
    not_before: Option<Moment>,
    plain_until: Option<Moment>,
    /// A server that greylists is left alone once for each return.
    greylisted_until: Option<Moment>,
}

impl Patience {
    /// Something happened that makes another try worthwhile.
    pub const fn handle_event(&mut self) {
        self.failures = 0;
        self.failed_calls = 0;
        self.not_before = None;
    }

    /// The line returned: also what was waited for once may be waited for again.
    pub const fn handle_return(&mut self) {
        self.handle_event();
        self.greylisted_until = None;
    }

    /// A server greeted us: how long it took to start says nothing of what comes now.
    pub const fn handle_greeted(&mut self) {
        self.failed_calls = 0;
    }

    /// How long this connection waits for a greeting. The first calls to a server that returns are short, since
    /// each holds a place; one that needs longer to greet gets the time of RFC 5321 afterwards.
    #[must_use]
    pub fn greeting(&self, is_call: bool, limit: Duration) -> Duration {
        if is_call && self.failed_calls < SHORT_CALLS { limit.min(SHORT_CALL_GREETING) } else { limit }
    }

    /// Mail was delivered.
    pub const fn handle_delivered(&mut self) {
        self.failures = 0;
    }

    /// A connection has ended. Returns the problem to show, if there is one.
    pub fn handle_end(&mut self, end: LegEnd, is_returning: bool, times: &RetryTimes, now: Moment) -> Option<String> {
        let other = if is_returning { ConnectionFailure::WhileReturning } else { ConnectionFailure::Other };
        let is_call = matches!(end, LegEnd::NotOpened(_));
        let (failure, problem) = match end {
            LegEnd::NothingDue | LegEnd::Worked | LegEnd::Stopped(_) => return None,
            LegEnd::Spool => {
                self.not_before = Some(now + REPORT_RETRY);
                return None;
            }
            LegEnd::NotOpened(failure @ OpenFailure::Handshake(_)) if !self.is_plain(now) => {
                self.plain_until = Some(now + PLAIN_AFTER_FAILED_HANDSHAKE);
                return Some(failure.to_string());
            }
            LegEnd::NotOpened(failure @ (OpenFailure::Identity(_) | OpenFailure::Stranger(_))) => {
                (ConnectionFailure::Identity, failure.to_string())
            }
            LegEnd::NotOpened(failure) => (other, failure.to_string()),
            LegEnd::Identity(why) => (ConnectionFailure::Identity, OpenFailure::Identity(why).to_string()),
            LegEnd::Greylisted(why) if self.greylisted_until.is_none() => {
                self.greylisted_until = Some(now + GREYLISTING_WAIT);
                return Some(why);
            }
            LegEnd::Held(why) => (ConnectionFailure::Other, why),
            LegEnd::Broken(why) | LegEnd::Greylisted(why) => (other, why),
        };
        let failed = if is_call { &mut self.failed_calls } else { &mut self.failures };
        *failed = failed.saturating_add(1);
        self.not_before = Some(now + times.after_connection(*failed, failure));
        Some(problem)
    }

    /// How long the account still waits.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Option<Duration> {
        let until = self.not_before.into_iter().chain(self.greylisted_until).max();
        until.map(|until| until.since(now)).filter(|wait| !wait.is_zero())
    }

    /// Whether the next connection stays in plain text.
    #[must_use]
    pub fn is_plain(&self, now: Moment) -> bool {
        self.plain_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(patience: &mut Patience, end: LegEnd, is_returning: bool) -> Option<u64> {
        let now = Moment::from_millis(1_000_000);
        patience.handle_end(end, is_returning, &RetryTimes::default(), now);
        patience.wait(now).map(|wait| wait.as_secs())
    }

    #[test]
    fn failures_make_the_account_wait_longer_and_an_event_ends_it() {
        let mut patience = Patience::default();
        let broken = || LegEnd::Broken("x".to_owned());
        assert_eq!(end(&mut patience, broken(), false), Some(5));
        assert_eq!(end(&mut patience, broken(), false), Some(15));
        patience.handle_event();
        assert_eq!(end(&mut patience, LegEnd::Worked, false), None);
        assert_eq!(end(&mut patience, broken(), false), Some(5));
        patience.handle_delivered();
        assert_eq!(end(&mut patience, broken(), true), Some(1));
    }

    #[test]
    fn a_server_that_starts_slowly_does_not_make_the_next_hiccup_long() {
        let mut patience = Patience::default();
        let unreachable = || LegEnd::NotOpened(OpenFailure::Unreachable("x".to_owned()));
        for _ in 0..40 {
            assert_eq!(end(&mut patience, unreachable(), true), Some(1));
        }
        patience.handle_greeted();
        assert_eq!(end(&mut patience, LegEnd::Broken("x".to_owned()), false), Some(5));
        patience.handle_greeted();
        assert_eq!(end(&mut patience, LegEnd::Broken("x".to_owned()), false), Some(15), "greetings alone heal nothing");
        assert_eq!(end(&mut patience, unreachable(), false), Some(5));
    }

    #[test]
    fn a_server_that_greylists_is_left_alone_for_five_minutes_once() {
        let mut patience = Patience::default();
        let greylisted = || LegEnd::Greylisted("x".to_owned());
        assert_eq!(end(&mut patience, greylisted(), true), Some(300));
        patience.handle_event();
        let (now, later) = (Moment::from_millis(1_000_000), Moment::from_millis(1_301_000));
        assert_eq!(patience.wait(now).map(|wait| wait.as_secs()), Some(300), "a confirmed return does not end it");
        assert_eq!(patience.wait(later), None);
        patience.handle_end(greylisted(), true, &RetryTimes::default(), later);
        assert_eq!(patience.wait(later).map(|wait| wait.as_secs()), Some(1));
        patience.handle_return();
        assert_eq!(patience.wait(now), None);
    }

    #[test]
    fn only_the_first_calls_are_short() {
        let mut patience = Patience::default();
        let limit = Duration::from_secs(300);
        assert_eq!(patience.greeting(false, limit), limit);
        for _ in 0..SHORT_CALLS {
            assert_eq!(patience.greeting(true, limit), SHORT_CALL_GREETING);
            end(&mut patience, LegEnd::NotOpened(OpenFailure::Unreachable("x".to_owned())), true);
        }
        assert_eq!(patience.greeting(true, limit), limit);
        assert_eq!(patience.greeting(true, Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn a_failed_handshake_costs_no_wait_once() {
        let mut patience = Patience::default();
        let failed = || LegEnd::NotOpened(OpenFailure::Handshake("x".to_owned()));
        assert_eq!(end(&mut patience, failed(), false), None);
        assert!(patience.is_plain(Moment::from_millis(1_000_000)));
        assert_eq!(end(&mut patience, failed(), false), Some(5));
        assert!(!patience.is_plain(Moment::from_millis(1_000_000) + PLAIN_AFTER_FAILED_HANDSHAKE));
    }
}
