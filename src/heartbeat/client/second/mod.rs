//! The second path to the server: over IPv6, beside the first over IPv4, so that each family is proven by itself.

mod driver;

pub(super) use driver::{SecondPath, SecondWord};

use std::time::Duration;

use crate::base::Moment;

/// Beats without any answer before the path is given up for a while: a network without IPv6 behind the router.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);
/// For how long, unless the own address changes before that.
const GIVEN_UP_FOR: Duration = Duration::from_secs(300);

/// When the path is given up and tried again. Reads no clock.
#[derive(Debug)]
struct Patience {
    last_answer: Moment,
    given_up: Option<Moment>,
}

impl Patience {
    const fn new(now: Moment) -> Self {
        Self { last_answer: now, given_up: None }
    }

    /// The server answered, or everything is to be tried anew.
    const fn restart(&mut self, now: Moment) {
        self.last_answer = now;
        self.given_up = None;
    }

    /// Whether beats are sent now.
    fn tries(&mut self, now: Moment) -> bool {
        match self.given_up {
            Some(at) if now.since(at) >= GIVEN_UP_FOR => self.restart(now),
            Some(_) => {}
            None if now.since(self.last_answer) >= GIVEN_UP_AFTER => self.given_up = Some(now),
            None => {}
        }
        self.given_up.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_answers_is_left_alone_for_five_minutes_at_a_time() {
        let at = |second: u64| Moment::from_millis(second * 1_000);
        let mut patience = Patience::new(at(0));
        let tried: Vec<u64> = (0..800).filter(|second| patience.tries(at(*second))).collect();
        assert_eq!(tried.len(), 3 * 60);
        assert!(tried.contains(&59) && !tried.contains(&60) && !tried.contains(&359) && tried.contains(&360));
        patience.restart(at(800));
        assert!(patience.tries(at(859)) && !patience.tries(at(860)));
    }
}
