//! A customer's announced absence: his server may stay away, and the time in which his mail may wait stands still.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::WallTime;

/// What a holiday adds to the time in which mail waits, at most; also how far ahead its end may lie.
pub const HOLIDAY_MAX: Duration = Duration::from_secs(60 * 86_400);

/// From when until when. It stays with the account when it is over: mail that waited meanwhile keeps the time it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holiday {
    /// First instant.
    pub from: WallTime,
    /// First instant after it.
    pub until: WallTime,
}

impl Holiday {
    /// One that begins now; where the last one ended a short while ago it goes on from that one's beginning, so that no
    /// mail loses time that it was given.
    #[must_use]
    pub fn begin(last: Option<Self>, until: WallTime, now: WallTime) -> Self {
        let from = last.filter(|last| now < last.until + HOLIDAY_MAX).map_or(now, |last| last.from.min(now));
        Self { from, until }
    }

    /// The same, over at the latest now.
    #[must_use]
    pub fn ended(self, now: WallTime) -> Self {
        Self { until: self.until.min(now), ..self }
    }

    /// How long it still lasts; absent outside of it.
    #[must_use]
    pub fn left(&self, now: WallTime) -> Option<Duration> {
        (self.from <= now).then(|| (self.until - now).to_std().ok()).flatten().filter(|left| !left.is_zero())
    }

    /// What mail that came at `accepted_at` may wait longer because of it, [`HOLIDAY_MAX`] at most.
    #[must_use]
    pub fn adds_to(&self, accepted_at: WallTime) -> Duration {
        (self.until - self.from.max(accepted_at)).to_std().unwrap_or_default().min(HOLIDAY_MAX)
    }

    /// Mail that came before then has waited for `limit`, not counting the holiday so far. Never later than `now - limit`.
    #[must_use]
    pub fn run_out_before(&self, limit: Duration, now: WallTime) -> WallTime {
        let (so_far, ordinary) = (self.ended(now), now - limit);
        // What came in the holiday itself begins to wait when that is over.
        if ordinary > so_far.until { ordinary } else { ordinary - so_far.adds_to(so_far.from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30 * 86_400);

    fn day(day: i64) -> WallTime {
        WallTime::from_timestamp(1_800_000_000 + day * 86_400, 0).unwrap()
    }

    fn days(span: Duration) -> u64 {
        span.as_secs() / 86_400
    }

    #[test]
    fn the_clock_of_waiting_mail_stands_still_for_60_days_at_most() {
        let holiday = Holiday { from: day(10), until: day(30) };
        assert_eq!([5, 10, 20, 30, 40].map(|came| days(holiday.adds_to(day(came)))), [20, 20, 10, 0, 0]);
        let long = Holiday { from: day(10), until: day(100) };
        assert_eq!([5, 30, 50].map(|came| days(long.adds_to(day(came)))), [60, 60, 50]);
    }

    /// Each day of a year, for mail of each day before it: the threshold says what counting the days says.
    #[test]
    fn the_threshold_is_what_counting_the_days_gives() {
        for (from, until) in [(10, 30), (10, 100), (50, 51), (0, 60), (200, 260)] {
            let holiday = Holiday { from: day(from), until: day(until) };
            for now in 0..300 {
                let before = holiday.run_out_before(LIMIT, day(now));
                assert!(before <= day(now) - LIMIT);
                for came in -40..=now {
                    let frozen = (until.min(now) - from.max(came)).clamp(0, 60);
                    assert_eq!(day(came) < before, now - came - frozen > 30, "{from}..{until} on {now}, came {came}");
                }
            }
        }
    }

    #[test]
    fn it_lasts_until_its_end_and_one_soon_after_goes_on_from_the_first() {
        let holiday = Holiday { from: day(10), until: day(30) };
        assert_eq!([9, 10, 29, 30].map(|now| holiday.left(day(now)).map(days)), [None, Some(20), Some(1), None]);
        assert_eq!(holiday.ended(day(20)), Holiday { from: day(10), until: day(20) });
        assert_eq!(holiday.ended(day(40)), holiday);
        let next = |now| Holiday::begin(Some(holiday), day(now + 5), day(now)).from;
        assert_eq!([40, 89, 90].map(next), [day(10), day(10), day(90)]);
        assert_eq!(Holiday::begin(None, day(5), day(1)), Holiday { from: day(1), until: day(5) });
    }
}
