//! How often one token and one network may ask, decided before any token is looked up.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::{Moment, network_of};

/// Places of one table: whoever asks takes one by a keyed hash, so that memory is bounded and nobody chooses a neighbour.
const PLACES: usize = 8_192;
/// A token: 20 requests a second, and 200 at once.
const TOKEN: Rate = Rate { every_ms: 50, burst: 200 };
/// A network (an IPv4 address, or a /64): 50 requests a second, and 400 at once.
const NETWORK: Rate = Rate { every_ms: 20, burst: 400 };
/// Wrong tokens of a network: 30 a minute. More of them are told so; a right one is let in all the same.
const WRONG: Rate = Rate { every_ms: 2_000, burst: 30 };

#[derive(Clone, Copy)]
struct Rate {
    every_ms: u64,
    burst: u64,
}

/// Moments up to which each place has used up its share (generic cell rate algorithm).
struct Table(Vec<u64>);

impl Table {
    fn new() -> Self {
        Self(vec![0; PLACES])
    }

    /// Takes one; or says how long to wait.
    fn take(&mut self, place: usize, rate: Rate, now: Moment) -> Result<(), Duration> {
        let Some(used) = self.0.get_mut(place) else { return Ok(()) };
        let now = now.as_millis();
        let next = (*used).max(now) + rate.every_ms;
        let ahead = next - now;
        if ahead > rate.every_ms * rate.burst {
            return Err(Duration::from_millis(ahead - rate.every_ms * rate.burst));
        }
        *used = next;
        Ok(())
    }
}

/// What was asked lately.
pub(super) struct Limits {
    key: [u8; 32],
    tokens: Table,
    networks: Table,
    wrong: Table,
}

impl Limits {
    /// Nothing was asked yet. `key` is chosen by chance.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, tokens: Table::new(), networks: Table::new(), wrong: Table::new() }
    }

    fn place(&self, octets: &[u8]) -> usize {
        let hash = blake3::keyed_hash(&self.key, octets);
        let [a, b, c, d, ..] = *hash.as_bytes();
        usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0) % PLACES
    }

    fn place_of(&self, peer: IpAddr) -> usize {
        match network_of(peer) {
            IpAddr::V4(v4) => self.place(&v4.octets()),
            IpAddr::V6(v6) => self.place(&v6.octets()),
        }
    }

    /// Whether a request from `peer` with this text in place of a token may go on. This machine itself is not counted: a
    /// proxy there asks for everybody.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&mut self, peer: IpAddr, token: Option<&str>, now: Moment) -> Result<(), Duration> {
        if !peer.to_canonical().is_loopback() {
            let place = self.place_of(peer);
            self.networks.take(place, NETWORK, now)?;
        }
        if let Some(token) = token {
            let place = self.place(token.as_bytes());
            self.tokens.take(place, TOKEN, now)?;
        }
        Ok(())
    }

    /// Counts a wrong token.
    ///
    /// # Errors
    /// How long to wait, where there were too many.
    pub(super) fn admit_wrong(&mut self, peer: IpAddr, now: Moment) -> Result<(), Duration> {
        let place = self.place_of(peer);
        self.wrong.take(place, WRONG, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(3_600_000);

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_has_its_share_whoever_sends_it_and_gets_it_back_in_time() {
        let mut limits = Limits::new([7; 32]);
        let admitted = (0..1_000u32).filter(|n| {
            let from = IpAddr::from((0xc000_0200 + n % 10).to_be_bytes());
            limits.admit(from, Some("pma-a"), START).is_ok()
        });
        assert_eq!(admitted.count(), 200);
        assert!(limits.admit(peer("192.0.2.200"), Some("pma-b"), START).is_ok());
        let wait = limits.admit(peer("192.0.2.201"), Some("pma-a"), START).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        assert!(limits.admit(peer("192.0.2.201"), Some("pma-a"), START + wait).is_ok());
    }

    #[test]
    fn a_network_has_its_share_whatever_it_sends_and_this_machine_is_not_counted() {
        let mut limits = Limits::new([7; 32]);
        let mut asks = |n: u32, from: &str| limits.admit(peer(from), Some(&format!("pma-{n}")), START).is_ok();
        assert_eq!(
            (0..1_000).filter(|n| asks(*n, if n % 2 == 0 { "2001:db8::1" } else { "2001:db8::2" })).count(),
            400
        );
        assert!(asks(5_000, "2001:db8:1::1"));
        assert_eq!((10_000..11_000).filter(|n| asks(*n, "127.0.0.1")).count(), 1_000);
    }

    #[test]
    fn wrong_tokens_are_counted_apart() {
        let mut limits = Limits::new([7; 32]);
        assert_eq!((0..100).filter(|_| limits.admit_wrong(peer("192.0.2.1"), START).is_ok()).count(), 30);
        assert!(limits.admit(peer("192.0.2.1"), Some("pma-right"), START).is_ok());
        assert!(limits.admit_wrong(peer("192.0.2.1"), START + Duration::from_secs(2)).is_ok());
    }
}
