//! Hours in which nobody is woken, in the time zone of whoever sleeps.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::Timelike;
use chrono_tz::Tz;

use crate::base::WallTime;

const MINUTE: Duration = Duration::from_secs(60);

/// From one time of the day to another, over midnight where the second is earlier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quiet {
    /// Minute of the day with which they begin.
    from: u16,
    /// Minute of the day with which they are over.
    to: u16,
}

impl Quiet {
    const fn has(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            minute >= self.from || minute < self.to
        }
    }

    /// Whether `at` lies in them.
    #[must_use]
    pub fn is_quiet(self, zone: Tz, at: WallTime) -> bool {
        self.has(minute_of(zone, at))
    }

    /// The first moment from `at` on that does not lie in them. On a day on which the clock is put on or back, hours
    /// are those that the clock on the wall shows.
    #[must_use]
    pub fn end(self, zone: Tz, at: WallTime) -> WallTime {
        if !self.is_quiet(zone, at) {
            return at;
        }
        let mut end = at
            - Duration::from_secs(u64::from(at.with_timezone(&zone).second()))
            - Duration::from_nanos(u64::from(at.nanosecond()));
        // Minute by minute, a day and a bit of them at most: reckoned ahead, a day on which the clock moves goes wrong.
        while self.is_quiet(zone, end) {
            end += MINUTE;
        }
        end
    }
}

fn minute_of(zone: Tz, at: WallTime) -> u16 {
    let local = at.with_timezone(&zone);
    u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0)
}

/// `22:00-07:00`.
impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// Not quiet hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("quiet hours are written as 22:00-07:00")]
pub struct QuietError;

impl FromStr for Quiet {
    type Err = QuietError;

    fn from_str(text: &str) -> Result<Self, QuietError> {
        let time = |text: &str| -> Option<u16> {
            let (hour, minute) = text.trim().split_once(':')?;
            let is_plain = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            let (hour, minute) = (is_plain(hour).then_some(hour)?, is_plain(minute).then_some(minute)?);
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let (from, to) = text.split_once('-').ok_or(QuietError)?;
        let (from, to) = (time(from).ok_or(QuietError)?, time(to).ok_or(QuietError)?);
        if from == to { Err(QuietError) } else { Ok(Self { from, to }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn utc(text: &str) -> WallTime {
        text.parse().unwrap()
    }

    /// Minutes of a day.
    const DAY: u16 = 24 * 60;
    const NIGHT: Quiet = Quiet { from: 22 * 60, to: 7 * 60 };

    #[test]
    fn hours_are_read_as_they_are_written() {
        for text in ["22:00-07:00", "13:30-14:00"] {
            assert_eq!(text.parse::<Quiet>().unwrap().to_string(), text);
        }
        for odd in ["22-07", "22:00", "24:00-07:00", "22:60-07:00", "07:00-07:00", "+2:00-07:00", ""] {
            assert_eq!(odd.parse::<Quiet>(), Err(QuietError), "{odd}");
        }
    }

    #[test]
    fn a_night_ends_at_seven_also_when_the_clock_is_put_on_or_back() {
        let berlin = chrono_tz::Europe::Berlin;
        for (at, end) in [
            ("2026-11-24T21:30:05Z", "2026-11-25T06:00:00Z"),
            // Put on at 01:00 UTC: the night is an hour shorter.
            ("2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z"),
            // Put back at 01:00 UTC: an hour longer.
            ("2026-10-24T23:00:00Z", "2026-10-25T06:00:00Z"),
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
        ] {
            assert_eq!(NIGHT.end(berlin, utc(at)), utc(end), "{at}");
        }
    }

    #[test]
    fn an_end_that_does_not_exist_or_exists_twice_is_the_moment_after_which_the_clock_shows_more() {
        let berlin = chrono_tz::Europe::Berlin;
        let until = |text: &str| format!("22:00-{text}").parse::<Quiet>().unwrap();
        // 02:30 is left out in March: it is over at 03:00, which is 01:00 UTC.
        assert_eq!(until("02:30").end(berlin, utc("2026-03-29T00:10:00Z")), utc("2026-03-29T01:00:00Z"));
        // 02:30 comes twice in October: from 02:30 to 03:00 (the first time) the clock shows that they are over.
        assert_eq!(until("02:30").end(berlin, utc("2026-10-25T00:10:00Z")), utc("2026-10-25T00:30:00Z"));
        assert_eq!(until("02:30").end(berlin, utc("2026-10-25T01:10:00Z")), utc("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn one_minute_that_is_not_quiet_is_found_on_the_night_on_which_the_clock_is_put_on() {
        let quiet: Quiet = "03:01-02:01".parse().unwrap();
        let new_york = chrono_tz::America::New_York;
        // 02:01 is left out: at 03:00, which is 07:00 UTC, they are over, and at 03:01 they begin.
        assert_eq!(quiet.end(new_york, utc("2026-03-08T06:01:00Z")), utc("2026-03-08T07:00:00Z"));
    }

    proptest! {
        #[test]
        fn the_end_is_the_first_minute_that_is_not_quiet(
            from in 0u16..DAY,
            length in 1u16..DAY,
            zone in prop::sample::select(vec![
                chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe,
                chrono_tz::Asia::Kathmandu, chrono_tz::Pacific::Apia, chrono_tz::UTC,
            ]),
            // The two changes of 2026 in both hemispheres, and days in between.
            day in prop::sample::select(vec![66i64, 86, 93, 200, 276, 296, 303, 330]),
            second in 0i64..2 * 86_400,
        ) {
            let quiet = Quiet { from, to: (from + length) % DAY };
            let at = chrono::Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap()
                + chrono::TimeDelta::seconds(day * 86_400 + second);
            let end = quiet.end(zone, at);
            prop_assert!(!quiet.is_quiet(zone, end));
            let mut minute = at;
            while minute < end {
                prop_assert!(quiet.is_quiet(zone, minute), "{minute} of {at} to {end}");
                minute += MINUTE;
            }
        }
    }
}
