//! Which time the server's certificate is checked against, on a machine whose own clock may be wrong.

pub(super) mod driver;

use std::sync::Mutex;

use crate::base::{Moment, WallTime};

/// What the server said of the time, in replies that its key vouches for; without a word from it, the machine's clock.
#[derive(Debug, Default)]
pub(super) struct TimeTold(Mutex<Option<(Moment, WallTime)>>);

/// A time, and whose word it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) time: WallTime,
    /// False: only this machine's clock says so.
    pub(super) by_server: bool,
}

impl TimeTold {
    /// A signed reply that came `now` said it is `time` there.
    pub(super) fn handle_reply(&self, time: WallTime, now: Moment) {
        *self.lock() = Some((now, time));
    }

    /// The time `now`; `own` is what this machine's clock shows.
    pub(super) fn at(&self, now: Moment, own: WallTime) -> Told {
        match *self.lock() {
            Some((then, time)) => Told { time: time + now.since(then), by_server: true },
            None => Told { time: own, by_server: false },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Moment, WallTime)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_servers_word_goes_on_with_the_running_clock_whatever_the_own_clock_shows() {
        let (told, at) = (TimeTold::default(), |ms| Moment::from_millis(ms));
        let own = WallTime::UNIX_EPOCH;
        assert_eq!(told.at(at(5), own), Told { time: own, by_server: false });
        let there = own + Duration::from_secs(1_700_000_000);
        told.handle_reply(there, at(10));
        assert_eq!(told.at(at(2_010), own), Told { time: there + Duration::from_secs(2), by_server: true });
    }
}
