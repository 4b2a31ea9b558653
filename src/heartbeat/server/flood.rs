//! What is left out first when more arrives than can be worked on (docs/PROTOCOL.md §11).

use std::cell::Cell;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Moment;
use crate::heartbeat::datagram::Locator;

/// Bad datagrams from one network within a second, beyond which it is loud.
const BAD_PER_SECOND_MAX: u32 = 100;
/// Counters in each of the two rows: so many that a million spoofed sources a second make none of them loud.
const COUNTERS: usize = 65_536;
/// Signatures that are checked within a second: at 58 µs each, a tenth of a core.
const SIGNATURES_PER_SECOND: u32 = 1_700;
/// Those of one key: a client needs one with each challenge, and has two a second.
const SIGNATURES_PER_KEY: u8 = 8;
/// Keys are counted in so many places.
const KEY_PLACES: usize = 4_096;
const SECOND: Duration = Duration::from_secs(1);

/// Counts bad datagrams by network (an IPv4 address, an IPv6 /64) in two rows under a secret hash. May take a quiet
/// network for a loud one when it shares a counter of both rows with one, never the other way round.
#[derive(Debug)]
pub(super) struct LoudSources {
    rows: [Vec<u32>; 2],
    /// Of all networks.
    bad: u32,
    since: Moment,
    seed: u64,
    hasher: std::hash::BuildHasherDefault<std::hash::DefaultHasher>,
}

impl LoudSources {
    /// Nobody yet. `seed` keeps strangers from choosing whose counters they share.
    pub(super) fn new(seed: u64) -> Self {
        let rows = [vec![0; COUNTERS], vec![0; COUNTERS]];
        Self { rows, bad: 0, since: Moment::default(), seed, hasher: Default::default() }
    }

    /// A datagram from there was of no key, or its tag was wrong.
    pub(super) fn note_bad(&mut self, source: IpAddr, now: Moment) {
        if now.since(self.since) >= SECOND {
            self.rows.iter_mut().for_each(|row| row.fill(0));
            (self.since, self.bad) = (now, 0);
        }
        self.bad = self.bad.saturating_add(1);
        let places = self.places(source);
        for (row, place) in self.rows.iter_mut().zip(places) {
            if let Some(count) = row.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Whether more came from there in this second than anybody needs.
    pub(super) fn is_loud(&self, source: IpAddr, now: Moment) -> bool {
        if self.bad <= BAD_PER_SECOND_MAX {
            return false;
        }
        let places = self.places(source);
        let counts = self.rows.iter().zip(places).filter_map(|(row, place)| row.get(place));
        now.since(self.since) < SECOND && counts.min().is_some_and(|count| *count > BAD_PER_SECOND_MAX)
    }

    fn places(&self, source: IpAddr) -> [usize; 2] {
        let network = match source {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ u64::MAX,
        };
        let hash = self.hasher.hash_one((self.seed, network));
        let place = |hash: u64| usize::try_from(hash & 0xffff).unwrap_or(0) % COUNTERS;
        [place(hash), place(hash >> 32)]
    }
}

/// How many signatures may still be checked in this second, in all and for one key, so that the holder of one key does
/// not use up what the others need. Who finds nothing left tries again with the next challenge.
#[derive(Debug)]
pub(super) struct SignatureBudget {
    since: Cell<Moment>,
    used: Cell<u32>,
    /// By place of the key's locator, which is random; keys may share one.
    by_key: Vec<Cell<u8>>,
}

impl Default for SignatureBudget {
    fn default() -> Self {
        Self { since: Cell::default(), used: Cell::default(), by_key: vec![Cell::new(0); KEY_PLACES] }
    }
}

impl SignatureBudget {
    /// Whether one more of this key may be checked now; it counts as checked.
    pub(super) fn admits(&self, locator: Locator, now: Moment) -> bool {
        if now.since(self.since.get()) >= SECOND {
            self.since.set(now);
            self.used.set(0);
            self.by_key.iter().for_each(|used| used.set(0));
        }
        let Locator([a, b, ..]) = locator;
        let Some(own) = self.by_key.get(usize::from(u16::from_be_bytes([a, b])) % KEY_PLACES) else { return false };
        let is_left = own.get() < SIGNATURES_PER_KEY && self.used.get() < SIGNATURES_PER_SECOND;
        if is_left {
            own.set(own.get() + 1);
            self.used.set(self.used.get() + 1);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(5_000 + millis)
    }

    #[test]
    fn a_source_is_loud_after_a_hundred_bad_datagrams_and_quiet_a_second_later() {
        let mut sources = LoudSources::new(7);
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for millis in 0..100 {
            sources.note_bad(bad, at(millis));
        }
        assert!(!sources.is_loud(bad, at(100)));
        sources.note_bad(bad, at(100));
        assert!(sources.is_loud(bad, at(100)) && !sources.is_loud(good, at(100)));
        assert!(!sources.is_loud(bad, at(1_000)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_a_million_spoofed_ones_make_nobody_loud() {
        let mut sources = LoudSources::new(7);
        for host in 0..101u128 {
            sources.note_bad(IpAddr::V6((0x2001_0db8_u128 << 96 | host).into()), at(0));
        }
        assert!(sources.is_loud("2001:db8::ffff:1".parse().unwrap(), at(0)));
        assert!(!sources.is_loud("2001:db8:0:1::1".parse().unwrap(), at(0)));
        for source in 0..1_000_000u32 {
            sources.note_bad(
                IpAddr::V4((source.wrapping_mul(2_654_435_761)).into()),
                at(1_000 + u64::from(source) / 1_100),
            );
        }
        let loud = (0..1_000u32).filter(|host| sources.is_loud(IpAddr::V4(host.wrapping_mul(97).into()), at(1_950)));
        assert_eq!(loud.count(), 0);
    }

    #[test]
    fn signatures_of_a_tenth_of_a_core_are_checked_each_second() {
        let budget = SignatureBudget::default();
        for second in 0..3 {
            let key =
                |number: u16| Locator([number.to_be_bytes(), [0; 2], [0; 2], [0; 2]].concat().try_into().unwrap());
            let of_one = (0..5_000).filter(|_| budget.admits(key(7), at(second * 1_000))).count();
            let of_all = (1_000..4_000).filter(|number| budget.admits(key(*number), at(second * 1_000))).count();
            assert_eq!((of_one, of_one + of_all), (8, 1_700));
        }
    }
}
