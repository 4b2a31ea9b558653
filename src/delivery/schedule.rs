//! When is a deferred message, or a primary that could not be reached, tried again?

use std::time::Duration;

/// 5 s, 15 s, 30 s, 1, 2, 5, 10 min, then every 15 min.
const RETRY_SECONDS: [u64; 8] = [5, 15, 30, 60, 120, 300, 600, 900];

/// A mailbox is not emptied within minutes: that recipient alone is tried hourly.
pub const MAILBOX_FULL_RETRY: Duration = Duration::from_secs(3600);

/// A recipient that the primary took before and refuses now is tried again so often, for a day: a mistake at the
/// primary is more likely than a mailbox that is gone.
pub const KNOWN_GOOD_RETRY: Duration = Duration::from_secs(3600);

/// How long after a return no refusal is final: a server that has just started may know nobody yet.
pub const TRIAL: Duration = Duration::from_secs(600);

/// A server that greylists the first message is left alone for so long, once: it wants to see the same envelope again.
pub const GREYLISTING_WAIT: Duration = Duration::from_secs(300);

/// A primary whose identity is in doubt is looked at again at least this often.
pub const IDENTITY_RETRY_MAX: Duration = Duration::from_secs(60);

/// While a line is RETURNING its primary is called each second, so often.
pub const RETURN_CALLS: u32 = 60;

/// Between those calls.
pub const RETURN_CALL_EVERY: Duration = Duration::from_secs(1);

/// How long the first calls to a server that returns wait for its greeting: a hanging server holds one of the places
/// of all accounts meanwhile.
pub const SHORT_CALL_GREETING: Duration = Duration::from_secs(30);

/// So many calls are that short.
pub const SHORT_CALLS: u32 = 3;

/// Messages deferred one after the other, after which the whole account waits.
pub const DEFERRALS_IN_A_ROW_MAX: u32 = 3;

/// How long a server whose TLS handshake failed is spoken to in plain text before TLS is tried again.
pub const PLAIN_AFTER_FAILED_HANDSHAKE: Duration = Duration::from_secs(600);

/// Between attempts to write a report that the spool did not take.
pub const REPORT_RETRY: Duration = Duration::from_secs(1);

/// A line that is online but whose beats vouch for no address yet (after our own restart) is looked at again with
/// each interval of its beats: the beat that does vouch is no event.
pub const BEAT_RECHECK: Duration = Duration::from_secs(5);

/// When something is due that nobody may deliver now (its server is away), the queue is looked at again so often.
pub const IDLE_RECHECK: Duration = Duration::from_secs(60);

/// The waits between attempts; the last one repeats for ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryTimes(Vec<Duration>);

impl Default for RetryTimes {
    fn default() -> Self {
        Self(RETRY_SECONDS.iter().map(|seconds| Duration::from_secs(*seconds)).collect())
    }
}

impl RetryTimes {
    /// Other waits, for tests and the demo; without any the default ones.
    #[must_use]
    pub fn new(waits: Vec<Duration>) -> Self {
        if waits.is_empty() { Self::default() } else { Self(waits) }
    }

    /// The wait after `failed` attempts, of which this was the last (1 is the first).
    #[must_use]
    pub fn after(&self, failed: u32) -> Duration {
        let place = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(place).or(self.0.last()).copied().unwrap_or(IDENTITY_RETRY_MAX)
    }

    /// The longest wait that any outcome imposes. What is due later was written while the clock was ahead.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.0.iter().copied().max().map_or(MAILBOX_FULL_RETRY, |wait| wait.max(MAILBOX_FULL_RETRY))
    }

    /// The wait after `failed` connections that did not come about.
    #[must_use]
    pub fn after_connection(&self, failed: u32, failure: ConnectionFailure) -> Duration {
        let wait = self.after(failed);
        match failure {
            ConnectionFailure::WhileReturning if failed <= RETURN_CALLS => wait.min(RETURN_CALL_EVERY),
            // The waits begin to grow only now: a server that takes minutes to start is not left alone for longer.
            ConnectionFailure::WhileReturning => self.after(failed - RETURN_CALLS),
            ConnectionFailure::Identity => wait.min(IDENTITY_RETRY_MAX),
            ConnectionFailure::Other => wait,
        }
    }
}

/// Which kind of failure a connection had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionFailure {
    /// The line is RETURNING: its server may still be starting.
    WhileReturning,
    /// Somebody else answers, or ours refuses us.
    Identity,
    /// Everything else.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_quarter_of_an_hour_and_stay_there() {
        let times = RetryTimes::default();
        let seconds: Vec<u64> = (0..=10).map(|failed| times.after(failed).as_secs()).collect();
        assert_eq!(seconds, [5, 5, 15, 30, 60, 120, 300, 600, 900, 900, 900]);
        assert_eq!(times.after(u32::MAX).as_secs(), 900);
    }

    #[test]
    fn a_returning_primary_is_called_each_second_for_a_minute() {
        let times = RetryTimes::default();
        assert_eq!(times.after_connection(60, ConnectionFailure::WhileReturning).as_secs(), 1);
        assert_eq!(times.after_connection(61, ConnectionFailure::WhileReturning).as_secs(), 5);
        assert_eq!(times.after_connection(90, ConnectionFailure::WhileReturning).as_secs(), 900);
    }

    #[test]
    fn a_doubtful_identity_is_checked_again_within_a_minute() {
        let times = RetryTimes::default();
        assert_eq!(times.after_connection(1, ConnectionFailure::Identity).as_secs(), 5);
        assert_eq!(times.after_connection(40, ConnectionFailure::Identity).as_secs(), 60);
        assert_eq!(times.after_connection(40, ConnectionFailure::Other).as_secs(), 900);
    }
}
