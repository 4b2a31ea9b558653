//! When beats take the way over HTTPS because UDP is silent, and when UDP has them back (docs/PROTOCOL.md §8).

use std::time::Duration;

use super::random::Random;
use crate::base::Moment;

/// Silence over UDP after which HTTPS is tried beside it: two requests of 4 s fit into what is left of 17 s.
pub(super) const UDP_SILENCE_MAX: Duration = Duration::from_secs(6);
/// Between two looks whether UDP works again.
pub(super) const UDP_TRIED_EVERY: Duration = Duration::from_secs(30);
/// Replies over UDP, one behind the other, that bring it back.
const UDP_REPLIES: u8 = 2;
/// Longest waits after the first, second, ... failed request; each wait is drawn evenly below it, so that clients of a
/// server that comes back do not come all at once.
const WAITS: [Duration; 5] = [
    Duration::from_secs(6),
    Duration::from_secs(12),
    Duration::from_secs(24),
    Duration::from_secs(48),
    Duration::from_secs(60),
];
/// No wait is shorter.
const WAIT_MIN: Duration = Duration::from_millis(250);

/// How a datagram travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// As a datagram.
    Udp,
    /// In an HTTPS request.
    Https,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// This client has no HTTPS.
    Absent,
    /// UDP answers, or has not been silent for long.
    Idle,
    /// UDP is silent and goes on; a request is due, or under way if there is no `due`.
    Trying { due: Option<Moment>, failures: usize },
    /// Requests are answered: beats go there.
    Carrying,
}

/// The choice between both ways.
#[derive(Debug)]
pub(super) struct Fallback {
    state: State,
    /// Silence over UDP that is borne: [`UDP_SILENCE_MAX`], less where lines are neutralised sooner than after 15 s.
    silence_max: Duration,
    udp_due: Moment,
    udp_replies: u8,
    /// A beat was sent over UDP to see whether it works.
    is_probing: bool,
}

impl Fallback {
    pub(super) const fn absent(now: Moment) -> Self {
        Self { state: State::Absent, silence_max: UDP_SILENCE_MAX, udp_due: now, udp_replies: 0, is_probing: false }
    }

    /// From now on there is a second way; also: forget what was learnt of both.
    pub(super) const fn begin(&mut self) {
        self.state = State::Idle;
        self.udp_replies = 0;
        self.is_probing = false;
    }

    /// As [`begin`](Self::begin), if there is a second way.
    pub(super) fn restart(&mut self) {
        if self.state != State::Absent {
            self.begin();
        }
    }

    /// Whether beats travel over HTTPS.
    pub(super) fn is_carrying(&self) -> bool {
        self.state == State::Carrying
    }

    /// When a request is due. `waiting_since` is when the oldest beat without any answer was sent.
    pub(super) fn poll_timeout(&self, waiting_since: Option<Moment>) -> Option<Moment> {
        match self.state {
            State::Idle => waiting_since.map(|since| since + self.silence_max),
            State::Trying { due, .. } => due,
            State::Absent | State::Carrying => None,
        }
    }

    /// Whether a request is to be made now; it counts as made.
    pub(super) fn takes_over(&mut self, waiting_since: Option<Moment>, now: Moment) -> bool {
        if self.poll_timeout(waiting_since).is_none_or(|due| now < due) {
            return false;
        }
        let failures = if let State::Trying { failures, .. } = self.state { failures } else { 0 };
        self.state = State::Trying { due: None, failures };
        true
    }

    /// A beat begins while HTTPS carries: whether it goes over UDP as well, and whether the last try was in vain.
    pub(super) fn probes_udp(&mut self, now: Moment) -> (bool, bool) {
        let was_in_vain = std::mem::take(&mut self.is_probing);
        if was_in_vain {
            self.udp_replies = 0;
            self.udp_due = self.udp_due.max(now + UDP_TRIED_EVERY / 2);
        }
        let is_due = now >= self.udp_due || self.udp_replies > 0;
        if is_due {
            self.is_probing = true;
            self.udp_due = now + UDP_TRIED_EVERY;
        }
        (is_due, was_in_vain)
    }

    /// What a reply says of the silence that neutralises the line.
    pub(super) fn handle_window(&mut self, neutralised_after: Duration) {
        if !neutralised_after.is_zero() {
            self.silence_max = (neutralised_after * 2 / 5).min(UDP_SILENCE_MAX);
        }
    }

    /// A reply came this way; true if the way of the beats is another now.
    pub(super) fn handle_reply(&mut self, way: Way, now: Moment) -> bool {
        match (self.state, way) {
            (State::Trying { .. }, Way::Https) => {
                self.state = State::Carrying;
                self.udp_due = now + UDP_TRIED_EVERY;
                self.udp_replies = 0;
                self.is_probing = false;
                true
            }
            (State::Trying { .. }, Way::Udp) => {
                self.begin();
                false
            }
            (State::Carrying, Way::Udp) => {
                self.is_probing = false;
                self.udp_replies += 1;
                if self.udp_replies >= UDP_REPLIES {
                    self.begin();
                }
                self.state == State::Idle
            }
            (State::Carrying, Way::Https) | (State::Absent | State::Idle, _) => false,
        }
    }

    /// A request failed; true if the beats have lost their way by that.
    pub(super) fn handle_failure(&mut self, random: &mut Random, now: Moment) -> bool {
        let failures = match self.state {
            State::Absent | State::Idle => return false,
            State::Trying { failures, .. } => failures,
            State::Carrying => 0,
        };
        let longest = WAITS.get(failures).or(WAITS.last()).copied().unwrap_or(WAIT_MIN);
        let wait = Duration::from_millis(random.below(u64::try_from(longest.as_millis()).unwrap_or(0)));
        let lost = self.is_carrying();
        self.state = State::Trying { due: Some(now + wait.max(WAIT_MIN)), failures: failures + 1 };
        lost
    }
}

#[cfg(test)]
#[path = "fallback_tests.rs"]
mod tests;
