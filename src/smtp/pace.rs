//! How long may a peer take? Deadlines of one session, so that no slow peer holds a place for ever.

use std::time::Duration;

use super::gate::Stress;
use super::settings::Patience;
use crate::base::Moment;

/// For the next command while more than three quarters of all places are taken. Postfix has 10 s under stress; this
/// leaves room for a sender that waits for its own disk. Content keeps its time: it is nearly ours.
pub const CROWDED_COMMAND: Duration = Duration::from_secs(30);

/// The same while more than fifteen sixteenths are taken.
pub const PACKED_COMMAND: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Waits for a whole command.
    Command { since: Moment },
    /// Reads content: when it began, when the last octets came, and how many there are.
    Content { since: Moment, last: Moment, octets: u64 },
}

/// The deadlines of one session.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    patience: Patience,
    phase: Phase,
    progress: Moment,
}

impl Pace {
    /// Begins with the connection.
    #[must_use]
    pub const fn new(patience: Patience, now: Moment) -> Self {
        Self { patience, phase: Phase::Command { since: now }, progress: now }
    }

    /// A whole command was read or answered; the next one has its full time.
    pub const fn handle_command(&mut self, now: Moment) {
        self.phase = Phase::Command { since: now };
    }

    /// A message became ours: the session is worth its place.
    pub const fn handle_progress(&mut self, now: Moment) {
        self.progress = now;
        self.phase = Phase::Command { since: now };
    }

    /// Content is being read; `octets` of it are there.
    pub const fn handle_content(&mut self, octets: u64, now: Moment) {
        self.phase = match self.phase {
            Phase::Command { .. } => Phase::Content { since: now, last: now, octets },
            Phase::Content { since, last, octets: before } => {
                Phase::Content { since, last: if octets > before { now } else { last }, octets }
            }
        };
    }

    /// Content goes on after a command between its chunks: `spent` is what [`content_spent`](Self::content_spent) said
    /// when the chunk before ended. The wait between them counts as the wait for a command.
    pub fn resume_content(&mut self, spent: Duration, octets: u64, now: Moment) {
        self.phase = Phase::Content { since: now - spent, last: now, octets };
    }

    /// Time that the content has taken so far.
    #[must_use]
    pub const fn content_spent(&self, now: Moment) -> Duration {
        match self.phase {
            Phase::Command { .. } => Duration::ZERO,
            Phase::Content { since, .. } => now.since(since),
        }
    }

    /// When patience ends if nothing more happens. In a crowd nobody may hold a place for long without saying anything.
    #[must_use]
    pub fn deadline(&self, stress: Stress) -> Moment {
        let command = match stress {
            Stress::Calm => self.patience.command,
            Stress::Crowded => self.patience.command.min(CROWDED_COMMAND),
            Stress::Packed => self.patience.command.min(PACKED_COMMAND),
        };
        match self.phase {
            Phase::Command { since } => (since + command).min(self.progress + self.patience.without_progress),
            // A large message on a slow line is progress, though none is complete in the hour.
            Phase::Content { since, last, octets } => {
                let earned = Duration::from_secs(octets / u64::from(self.patience.content_rate_min.max(1)));
                let slowest = self.patience.content_grace.saturating_add(earned).min(self.patience.content_total);
                (last + self.patience.content_block).min(since + slowest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn pace() -> Pace {
        Pace::new(Patience::default(), at(0))
    }

    #[test]
    fn a_command_has_five_minutes_from_the_last_one() {
        let mut pace = pace();
        assert_eq!(pace.deadline(Stress::Calm), at(300));
        pace.handle_command(at(100));
        assert_eq!(pace.deadline(Stress::Calm), at(400));
    }

    #[test]
    fn in_a_crowd_a_command_has_thirty_seconds_and_content_its_time() {
        let mut pace = pace();
        assert_eq!(pace.deadline(Stress::Crowded), at(30));
        assert_eq!(pace.deadline(Stress::Packed), at(10));
        pace.handle_content(100_000, at(10));
        assert_eq!(pace.deadline(Stress::Crowded), pace.deadline(Stress::Calm));
    }

    #[test]
    fn dripping_content_ends_though_octets_keep_coming() {
        let mut pace = pace();
        pace.handle_content(0, at(0));
        assert_eq!(pace.deadline(Stress::Calm), at(60));
        for second in 1..60 {
            pace.handle_content(second, at(second));
        }
        assert_eq!(pace.deadline(Stress::Calm), at(60));
        pace.handle_content(128 * 500, at(60));
        assert_eq!(pace.deadline(Stress::Calm), at(240), "silence of three minutes ends it first");
    }

    #[test]
    fn many_chunks_have_one_grace_between_them() {
        let mut pace = pace();
        pace.resume_content(Duration::ZERO, 0, at(100));
        assert_eq!(pace.deadline(Stress::Calm), at(160));
        let spent = pace.content_spent(at(150));
        pace.handle_command(at(150));
        pace.resume_content(spent, 1280, at(300));
        assert_eq!(pace.deadline(Stress::Calm), at(300 - 50 + 60 + 10));
    }

    #[test]
    fn a_message_that_keeps_coming_may_take_longer_than_an_hour_and_not_for_ever() {
        let mut pace = pace();
        pace.handle_command(at(3500));
        for minute in 0..=236 {
            pace.handle_content(minute * 60 * 4_000, at(3500 + minute * 60));
            assert!(pace.deadline(Stress::Calm) > at(3500 + minute * 60), "minute {minute}");
        }
        assert_eq!(pace.deadline(Stress::Calm), at(3500 + 237 * 60 + 120));
        pace.handle_content(240 * 60 * 4_000, at(3500 + 239 * 60));
        assert_eq!(pace.deadline(Stress::Calm), at(3500 + 240 * 60));
    }

    #[test]
    fn an_hour_without_a_message_ends_the_session() {
        let mut pace = pace();
        pace.handle_command(at(3500));
        assert_eq!(pace.deadline(Stress::Calm), at(3600));
        pace.handle_progress(at(3550));
        assert_eq!(pace.deadline(Stress::Calm), at(3850));
    }
}
