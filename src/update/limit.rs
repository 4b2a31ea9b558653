//! How often may somebody? Buckets that fill again with time, in tables that never grow beyond their size.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Moment;

/// Requests of one network at once, and between two more: twenty machines behind one router that all notice a new
/// prefix in the same second are served.
pub const NETWORK: Rate = Rate { burst: 120, every: Duration::from_millis(500) };
/// Changes of one address record at once, and between two more. Counted per name and family, not per token: a new
/// prefix changes every name once.
pub const VALUE: Rate = Rate { burst: 10, every: Duration::from_secs(60) };
/// Refused requests that are stored for one account at once, and between two more: a stranger who tries names must not
/// keep the disk busy.
pub const REFUSAL: Rate = Rate { burst: 10, every: Duration::from_secs(60) };
/// Keys that a table remembers, at most about 100 octets each.
pub const KEYS_MAX: usize = 65_536;

/// A burst, and one more each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Between two after that.
    pub every: Duration,
}

/// Buckets by key. Two generations: keys that were not asked for while half the table filled are forgotten.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    young: HashMap<K, Moment>,
    old: HashMap<K, Moment>,
}

impl<K: Hash + Eq> Buckets<K> {
    /// Full buckets.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, young: HashMap::new(), old: HashMap::new() }
    }

    /// Whether one more is allowed now; if so it is counted.
    pub fn take(&mut self, key: K, now: Moment) -> bool {
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        // Stored is when the bucket will be full again; a burst may reach that far ahead.
        let full_at = known.unwrap_or(now).max(now) + self.rate.every;
        if full_at > now + self.rate.every.saturating_mul(self.rate.burst) {
            return false;
        }
        if self.young.len() >= KEYS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full_at);
        true
    }
}

/// The network that a limit counts for: /24 of IPv4, /56 of IPv6, so that privacy addresses are one caller.
#[must_use]
pub fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 72 << 72,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_each_time() {
        let mut buckets = Buckets::new(Rate { burst: 3, every: Duration::from_secs(10) });
        let now = Moment::from_millis(1_000_000);
        assert_eq!((0..5).filter(|_| buckets.take("a", now)).count(), 3);
        assert!(buckets.take("b", now), "another key has a bucket of its own");
        assert!(!buckets.take("a", now + Duration::from_secs(9)));
        assert!(buckets.take("a", now + Duration::from_secs(10)));
        assert_eq!((0..5).filter(|_| buckets.take("a", now + Duration::from_secs(1_000))).count(), 3);
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_table() {
        let mut buckets = Buckets::new(NETWORK);
        for key in 0..200_000u32 {
            buckets.take(key, Moment::default());
        }
        assert!(buckets.young.len() + buckets.old.len() <= KEYS_MAX);
    }

    #[test]
    fn one_line_is_one_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.250"));
        assert_eq!(of("2001:db8:1:100::5"), of("2001:db8:1:1ff::6"));
        assert_ne!(of("2001:db8:1:100::5"), of("2001:db8:1:200::5"));
    }
}
