//! How often strangers may ask for what is public.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use crate::base::{Moment, network_of};

/// Networks (an IPv4 address, or a /64) share this many places, by a hash that nobody can foresee.
const PLACES: usize = 8_192;
/// Between two requests of a network in the long run.
const EVERY_MS: u64 = 500;
/// Requests at once: a page with its badge, behind a router of an office.
const AT_ONCE: u64 = 60;

/// Up to when each place has used up its share (generic cell rate algorithm).
pub(in crate::web) struct Guests {
    hash: RandomState,
    used: Vec<u64>,
}

impl Default for Guests {
    fn default() -> Self {
        Self { hash: RandomState::new(), used: vec![0; PLACES] }
    }
}

impl Guests {
    /// Takes one request of `peer`; or says how long to wait.
    pub(super) fn admit(&mut self, peer: IpAddr, now: Moment) -> Result<(), Duration> {
        let place = usize::try_from(self.hash.hash_one(network_of(peer)) % PLACES as u64).unwrap_or_default();
        let Some(used) = self.used.get_mut(place) else { return Ok(()) };
        let next = (*used).max(now.as_millis()) + EVERY_MS;
        let ahead = next - now.as_millis();
        if ahead > EVERY_MS * AT_ONCE {
            return Err(Duration::from_millis(ahead - EVERY_MS * AT_ONCE));
        }
        *used = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_gets_it_back_with_time() {
        let (mut guests, now) = (Guests::default(), Moment::from_millis(1_000));
        let peer = "192.0.2.1".parse().unwrap();
        assert!((0..AT_ONCE).all(|_| guests.admit(peer, now).is_ok()));
        let wait = guests.admit(peer, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(EVERY_MS));
        assert!(guests.admit(peer, now + wait).is_ok());
        assert!(guests.admit(peer, now + wait).is_err());
    }
}
