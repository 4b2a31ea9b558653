//! Decides for how long the name of a line that comes and goes has to keep its record. Mail never waits for it.

use std::time::Duration;

use crate::base::{Moment, WallTime};

/// More changes than this within [`FLAP_WINDOW`] are too many.
pub const FLAP_CHANGES_MAX: usize = 4;
/// The time in which changes are counted.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);
/// The first hold; each further change doubles it.
pub const HOLD_FIRST: Duration = Duration::from_secs(60);
/// The longest hold.
pub const HOLD_MAX: Duration = Duration::from_secs(900);

/// The changes of one line between ONLINE and OFFLINE. Reads no clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damping {
    /// The newest, newest first; as many as are needed to say that they are too many.
    changes: [Option<Moment>; FLAP_CHANGES_MAX + 1],
    hold: Option<Hold>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    length: Duration,
    until: Moment,
    until_wall: WallTime,
}

impl Damping {
    /// The line became ONLINE or OFFLINE. The length of the hold if this change begins an episode.
    pub fn handle_change(&mut self, now: Moment, wall: WallTime) -> Option<Duration> {
        self.changes.rotate_right(1);
        if let Some(newest) = self.changes.first_mut() {
            *newest = Some(now);
        }
        let running = self.hold.filter(|hold| hold.until > now);
        if !self.is_flapping(now) && running.is_none() {
            self.hold = None;
            return None;
        }
        // While changes are too many the episode goes on, also in the moments between two holds.
        let length = self.hold.map_or(HOLD_FIRST, |hold| (hold.length * 2).min(HOLD_MAX));
        let begins = self.hold.is_none();
        self.hold = Some(Hold { length, until: now + length, until_wall: wall + length });
        begins.then_some(length)
    }

    /// Until when the name keeps its record.
    #[must_use]
    pub fn held_until(&self, now: Moment) -> Option<WallTime> {
        self.hold.filter(|hold| hold.until > now).map(|hold| hold.until_wall)
    }

    /// Whether it may be forgotten: no hold, and no change that counts any longer.
    #[must_use]
    pub fn is_idle(&self, now: Moment) -> bool {
        self.idle_at().is_none_or(|idle_at| now >= idle_at)
    }

    /// When it may be forgotten.
    #[must_use]
    pub fn idle_at(&self) -> Option<Moment> {
        let counts_until = self.changes.iter().flatten().max().map(|newest| *newest + FLAP_WINDOW);
        counts_until.max(self.hold.map(|hold| hold.until))
    }

    fn is_flapping(&self, now: Moment) -> bool {
        self.changes.iter().flatten().filter(|at| now.since(**at) < FLAP_WINDOW).count() > FLAP_CHANGES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(second: u64) -> (Moment, WallTime) {
        let wall = chrono::Utc.timestamp_opt(1_795_492_800 + i64::try_from(second).unwrap(), 0).unwrap();
        (Moment::from_millis(second * 1_000), wall)
    }

    fn change(damping: &mut Damping, second: u64) -> Option<Duration> {
        let (now, wall) = at(second);
        damping.handle_change(now, wall)
    }

    fn held(damping: &Damping, second: u64) -> Option<WallTime> {
        damping.held_until(at(second).0)
    }

    #[test]
    fn the_fifth_change_in_ten_minutes_holds_the_name_and_is_told_once() {
        let mut damping = Damping::default();
        for second in [0, 100, 200, 300] {
            assert_eq!(change(&mut damping, second), None);
            assert_eq!(held(&damping, second), None);
        }
        assert_eq!(change(&mut damping, 400), Some(HOLD_FIRST));
        assert_eq!(held(&damping, 459), Some(at(460).1));
        assert_eq!(held(&damping, 460), None);
        assert_eq!(change(&mut damping, 500), None, "one alert an episode");
        assert_eq!(held(&damping, 619), Some(at(620).1), "doubled");
    }

    #[test]
    fn holds_double_up_to_a_quarter_of_an_hour() {
        let mut damping = Damping::default();
        let mut now = 0;
        for _ in 0..20 {
            now += 30;
            change(&mut damping, now);
        }
        assert_eq!(held(&damping, now + 899), Some(at(now + 900).1));
        assert_eq!(held(&damping, now + 900), None);
    }

    #[test]
    fn a_calm_line_starts_anew() {
        let mut damping = Damping::default();
        for second in 0..6 {
            change(&mut damping, second * 10);
        }
        for second in [4_000, 5_000, 6_000] {
            assert_eq!(change(&mut damping, second), None);
            assert_eq!(held(&damping, second), None, "four changes in an hour are nothing");
            assert!(damping.is_idle(at(second + 600).0) && !damping.is_idle(at(second + 599).0));
        }
        for second in [6_010, 6_020, 6_030] {
            assert_eq!(change(&mut damping, second), None);
        }
        assert_eq!(change(&mut damping, 6_040), Some(HOLD_FIRST), "a new episode");
    }
}
