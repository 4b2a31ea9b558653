//! Slows a peer that tries one refused recipient after the other: it looks for addresses or for a relay.
//!
//! Counted per session and not per network: providers put many customers behind one network, and a session that is
//! slowed ends with its twentieth error all the same ([`ERRORS_MAX`](super::settings::ERRORS_MAX)). The reply to content
//! is never delayed (RFC 1047 §3).

use std::time::Duration;

use crate::base::Moment;

/// Refused recipients of a session that are answered at once: a sender with a stale list of addresses stays below.
pub const REFUSED_AT_ONCE: u32 = 5;

/// Delay of each further refusal.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(5);

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

    /// A recipient is refused for good. True when the reply has to wait for [`poll_pause`](Self::poll_pause).
    pub fn handle_refused(&mut self, now: Moment) -> bool {
        self.refused = self.refused.saturating_add(1);
        let is_pulled = self.refused > REFUSED_AT_ONCE && !self.is_exempt;
        if is_pulled {
            self.pause = Some(now + REFUSAL_DELAY);
        }
        is_pulled
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
        assert!((0..5).all(|_| !brake.handle_refused(now)));
        assert_eq!(brake.poll_pause(now), None);
        assert!(brake.handle_refused(now));
        assert_eq!(brake.poll_pause(now), Some(Moment::from_millis(6000)));
        assert_eq!(brake.poll_pause(Moment::from_millis(6000)), None);
        let mut brake = Brake::new(true);
        assert!((0..50).all(|_| !brake.handle_refused(now)));
    }
}
