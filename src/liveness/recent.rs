//! Which of the last beats came, for the strip on the page: one bit for each interval.

use std::time::Duration;

use crate::base::WallTime;

/// Beats shown on the page.
pub(super) const RECENT_BEATS_MAX: u32 = 60;

/// Bit `i` says that a beat came `i` intervals before the newest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Recent(pub(super) u64);

impl Recent {
    /// A beat came, so long after the one before.
    pub(super) fn push(&mut self, since_last: Option<Duration>, interval: Duration) {
        let interval = interval.max(Duration::from_millis(1));
        let steps = since_last.map_or(u128::MAX, |since| (since + interval / 2).as_millis() / interval.as_millis());
        let steps = u32::try_from(steps).unwrap_or(u32::MAX).max(1);
        self.0 = (self.0.checked_shl(steps).unwrap_or(0) | 1) & ((1 << RECENT_BEATS_MAX) - 1);
    }

    /// When the beats came, to half an interval; `newest` is when the newest did.
    pub(super) fn times(self, newest: WallTime, interval: Duration) -> Vec<WallTime> {
        let set = (0..RECENT_BEATS_MAX).rev().filter(|bit| self.0 >> bit & 1 == 1);
        set.map(|bit| newest - interval * bit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn beats_and_gaps_are_shown_an_interval_apart() {
        let mut recent = Recent::default();
        for since in [None, Some(4_800), Some(5_100), Some(15_300), Some(2_900)] {
            recent.push(since.map(Duration::from_millis), INTERVAL);
        }
        let newest = WallTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let ages: Vec<i64> = recent.times(newest, INTERVAL).iter().map(|at| (newest - *at).num_seconds()).collect();
        assert_eq!(ages, [30, 25, 20, 5, 0]);
    }

    #[test]
    fn only_the_last_60_are_kept_and_a_long_gap_begins_anew() {
        let mut recent = Recent::default();
        for _ in 0..100 {
            recent.push(Some(INTERVAL), INTERVAL);
        }
        assert_eq!(recent.times(WallTime::UNIX_EPOCH, INTERVAL).len(), 60);
        recent.push(Some(INTERVAL * 64), INTERVAL);
        assert_eq!(recent.times(WallTime::UNIX_EPOCH, INTERVAL), [WallTime::UNIX_EPOCH]);
    }
}
