//! Answers over TCP and TLS, and how many connections one network may have.

pub mod driver;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::base::network_of;

/// Connections of one customer of a provider (an IPv4 address, an IPv6 /64) at one time; further ones are closed.
pub const CONNECTIONS_PER_NETWORK_MAX: u32 = 20;
/// The same of a /24 or /48, which one person can have whole as well.
pub const CONNECTIONS_PER_LARGER_MAX: u32 = 100;

/// Who counts as one: the second is true of the larger network.
type Network = (IpAddr, bool);

/// Connections by network.
#[derive(Debug, Default)]
pub struct Seats(HashMap<Network, u32>);

impl Seats {
    /// Counts one more, if both networks of the peer have room.
    pub fn take(&mut self, peer: IpAddr) -> bool {
        let most = |(_, is_larger): Network| {
            if is_larger { CONNECTIONS_PER_LARGER_MAX } else { CONNECTIONS_PER_NETWORK_MAX }
        };
        let networks = networks(peer);
        if networks.iter().any(|network| self.0.get(network).is_some_and(|open| *open >= most(*network))) {
            return false;
        }
        networks.into_iter().for_each(|network| *self.0.entry(network).or_default() += 1);
        true
    }

    /// One that was taken has ended.
    pub fn give_back(&mut self, peer: IpAddr) {
        for network in networks(peer) {
            if let Some(open) = self.0.get_mut(&network) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    self.0.remove(&network);
                }
            }
        }
    }
}

fn networks(peer: IpAddr) -> [Network; 2] {
    let larger = match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (u32::MAX << 8)).into()),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
    };
    [(network_of(peer), false), (larger, true)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_and_the_larger_one_around_it_have_so_many_connections() {
        let mut seats = Seats::default();
        let v4 = |last: u32| IpAddr::V4((0xcb00_7100 + last).into());
        let taken = (0..50).filter(|_| seats.take(v4(7))).count();
        assert_eq!(taken, usize::try_from(CONNECTIONS_PER_NETWORK_MAX).unwrap());
        let others = (0..1_000).filter(|n| seats.take(v4(8 + n % 200))).count();
        let larger = usize::try_from(CONNECTIONS_PER_LARGER_MAX).unwrap();
        assert_eq!(taken + others, larger, "the whole /24");
        assert!(seats.take("198.51.100.1".parse().unwrap()), "another /24");
        seats.give_back(v4(7));
        assert!(seats.take(v4(7)));
        let v6 = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0001 << 80) + (n << 64) + 1));
        assert_eq!((0..1_000).filter(|n| seats.take(v6(*n))).count(), larger, "each a /64 of one /48");
        (0..1_000).for_each(|n| seats.give_back(v6(n)));
        assert!(seats.0.keys().all(|(network, _)| network.is_ipv4()), "nothing stays behind");
    }
}
