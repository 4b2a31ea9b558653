//! What time is it? The only file that reads a clock; everything that decides is handed the answer.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A time of day as shown to people and written into traces. Never used for deadlines.
pub type WallTime = DateTime<Utc>;

/// A point on the monotonic clock, in milliseconds since an arbitrary start of this process.
///
/// Deadlines are computed from these alone, so a jump of the wall clock changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Moment(u64);

impl Moment {
    /// The moment `millis` after the start of the clock; for machines under test and for packed tables.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of the clock.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long `earlier` lies back; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    /// Saturates at the start of the clock.
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}ms", self.0)
    }
}

/// Reads both clocks. Drivers own one; machines never do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Now on the monotonic clock. The start lies an hour before the first call of the process, so that
    /// code may look back without saturating.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn monotonic(self) -> Moment {
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        Moment(3_600_000 + u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Now on the wall clock, for display and trace only.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(self) -> WallTime {
        Utc::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_never_wraps() {
        let early = Moment::from_millis(5);
        assert_eq!(early - Duration::from_secs(9), Moment::from_millis(0));
        assert_eq!(early.since(Moment::from_millis(9)), Duration::ZERO);
        assert_eq!((early + Duration::MAX).as_millis(), u64::MAX);
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let clock = Clock;
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(first.as_millis() >= 3_600_000);
    }
}
