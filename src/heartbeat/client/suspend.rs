//! Notices that the machine slept: its wall clock went on and its running clock did not (docs/PROTOCOL.md, "Resume").

use std::time::Duration;

use crate::base::{Moment, WallTime};

/// The wall clock went on by so much more than the running clock: the machine was suspended, or its clock was set. Either
/// way a new run costs little.
const SUSPENDED: Duration = Duration::from_secs(2);

/// Compares the two clocks at each look.
#[derive(Debug)]
pub(super) struct SuspendWatch {
    now: Moment,
    wall: WallTime,
}

impl SuspendWatch {
    pub(super) const fn new(now: Moment, wall: WallTime) -> Self {
        Self { now, wall }
    }

    /// Whether the machine slept since the last look.
    pub(super) fn handle_look(&mut self, now: Moment, wall: WallTime) -> bool {
        let before = std::mem::replace(self, Self { now, wall });
        let passed = (wall - before.wall).to_std().unwrap_or(Duration::ZERO);
        passed.saturating_sub(now.since(before.now)) > SUSPENDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_time_that_only_the_wall_clock_knows() {
        let at = |seconds: u64| (Moment::from_millis(seconds * 1000), seconds);
        let wall = |seconds: u64| WallTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut watch = SuspendWatch::new(at(10).0, wall(1_000));
        assert!(!watch.handle_look(at(20).0, wall(1_010)));
        assert!(!watch.handle_look(at(21).0, wall(1_013)), "two seconds are jitter");
        assert!(watch.handle_look(at(22).0, wall(1_100)));
        assert!(!watch.handle_look(at(23).0, wall(1_050)), "a clock set back is no sleep");
    }
}
