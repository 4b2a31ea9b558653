//! Slows a peer that tries one refused recipient after the other: it looks for addresses or for a relay.
//!
//! Counted per session; a network has a budget of refusals by the hour besides ([`REFUSALS_PER_HOUR`]). Providers put many
//! customers behind one network, so a spent budget slows and ends sessions that are refused, and no others. The reply to
//! content is never delayed (RFC 1047 §3).
//!
//! [`REFUSALS_PER_HOUR`]: super::rates::REFUSALS_PER_HOUR

use std::time::Duration;

use crate::base::Moment;

/// Refused recipients of a session that are answered at once: a sender with a stale list of addresses stays below. The
/// next ones wait; where the budget of the network is spent all wait, and the session ends with this one.
pub const REFUSED_AT_ONCE: u32 = 5;

/// Delay of each further refusal.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(5);

/// What a refusal comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// It is said at once.
    Not,
    /// It has to wait for [`Brake::poll_pause`].
    Slow,
    /// So it has, and the session ends with it.
    Stop,
}

/// The brake of one session.
#[derive(Debug)]
pub struct Brake {
    is_exempt: bool,
    refused: u32,
    pause: Option<Moment>,
}

impl Brake {
    /// Never pulled for a peer in an exempt network.
    #[must_use]
    pub const fn new(is_exempt: bool) -> Self {
        Self { is_exempt, refused: 0, pause: None }
    }

    /// A recipient is refused for good; `has_budget` of its network.
    pub fn handle_refused(&mut self, has_budget: bool, now: Moment) -> Pull {
        self.refused = self.refused.saturating_add(1);
        if self.is_exempt || (has_budget && self.refused <= REFUSED_AT_ONCE) {
            return Pull::Not;
        }
        self.pause = Some(now + REFUSAL_DELAY);
        if has_budget || self.refused < REFUSED_AT_ONCE { Pull::Slow } else { Pull::Stop }
    }

    /// A proof of identity was wrong: even where no limit holds, guessing takes its time.
    pub fn handle_wrong_proof(&mut self, now: Moment) {
        self.pause = Some(now + REFUSAL_DELAY);
    }

    /// Until when nothing more is said, if it is not over.
    pub fn poll_pause(&mut self, now: Moment) -> Option<Moment> {
        self.pause = self.pause.filter(|until| *until > now);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_refusal_waits_unless_the_peer_is_exempt() {
        let now = Moment::from_millis(1000);
        let mut brake = Brake::new(false);
        assert!((0..5).all(|_| brake.handle_refused(true, now) == Pull::Not));
        assert_eq!(brake.poll_pause(now), None);
        assert_eq!(brake.handle_refused(true, now), Pull::Slow);
        assert_eq!(brake.poll_pause(now), Some(Moment::from_millis(6000)));
        assert_eq!(brake.poll_pause(Moment::from_millis(6000)), None);
        let mut brake = Brake::new(true);
        assert!((0..50).all(|_| brake.handle_refused(false, now) == Pull::Not));
    }

    #[test]
    fn without_a_budget_all_wait_and_the_fifth_is_the_last() {
        let mut brake = Brake::new(false);
        let pulls: Vec<Pull> = (0..5).map(|_| brake.handle_refused(false, Moment::from_millis(9))).collect();
        assert_eq!(pulls, [Pull::Slow, Pull::Slow, Pull::Slow, Pull::Slow, Pull::Stop]);
    }
}
