//! Who was sent to the primary, and who cannot reach it: a sender that comes again and again has a broken path.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::base::{AccountId, Moment};

/// A sender deferred so often is taken the next time ...
pub const DEFERRED_MIN: u32 = 2;

/// ... if it has been trying for so long.
pub const DEFERRED_FOR_MIN: Duration = Duration::from_secs(600);

/// The port has to have been seen open so recently.
pub const VERIFIED_FOR: Duration = Duration::from_secs(30);

/// Nobody is sent away so soon after the line changed: its name may still point elsewhere.
pub const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// What was not heard of for so long is forgotten.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Senders that are remembered, in some 6 MiB; while there are as many, a new one is taken at once.
pub const SENDERS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Known {
    first: Moment,
    last: Moment,
    times: u32,
}

/// Senders by account and network.
#[derive(Clone, Debug, Default)]
pub struct Deferrals {
    known: HashMap<(AccountId, IpAddr), Known>,
}

impl Deferrals {
    /// Whether this sender is sent to the primary; counted if so.
    pub fn defers(&mut self, account: AccountId, peer: IpAddr, now: Moment) -> bool {
        let key = (account, neighbourhood(peer));
        if !self.known.contains_key(&key) && self.known.len() >= SENDERS_MAX {
            self.known.retain(|_, known| now.since(known.last) < REMEMBERED_FOR);
            if self.known.len() >= SENDERS_MAX {
                return false;
            }
        }
        let known = self.known.entry(key).or_insert(Known { first: now, last: now, times: 0 });
        if now.since(known.last) >= REMEMBERED_FOR {
            *known = Known { first: now, last: now, times: 0 };
        }
        known.last = now;
        if known.times >= DEFERRED_MIN && now.since(known.first) >= DEFERRED_FOR_MIN {
            return false;
        }
        known.times = known.times.saturating_add(1);
        true
    }
}

/// The /24 or /56: senders retry from another machine of the same farm.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !(u128::MAX >> 56))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_sender_whose_path_is_broken_is_taken_after_ten_minutes_and_stays_so() {
        let mut deferrals = Deferrals::default();
        let sender = ip("192.0.2.7");
        assert!(deferrals.defers(ACCOUNT, sender, at(0)));
        assert!(deferrals.defers(ACCOUNT, sender, at(599)), "too early");
        assert!(!deferrals.defers(ACCOUNT, ip("::ffff:192.0.2.99"), at(600)), "a machine of the same farm");
        assert!(!deferrals.defers(ACCOUNT, sender, at(700)));
        assert!(deferrals.defers(ACCOUNT, ip("192.0.3.7"), at(700)), "another network");
        assert!(deferrals.defers(AccountId(2), sender, at(700)), "another account");
        assert!(deferrals.defers(ACCOUNT, sender, at(700 + 86_400)), "forgotten after a day");
    }

    #[test]
    fn one_long_wait_alone_is_no_broken_path() {
        let mut deferrals = Deferrals::default();
        assert!(deferrals.defers(ACCOUNT, ip("2001:db8::1"), at(0)));
        assert!(deferrals.defers(ACCOUNT, ip("2001:db8:0:ff::1"), at(3_600)));
        assert!(!deferrals.defers(ACCOUNT, ip("2001:db8::1"), at(3_601)));
    }

    #[test]
    fn a_flood_of_networks_makes_nobody_wait_and_holds_bounded_memory() {
        let mut deferrals = Deferrals::default();
        let network = |n: u32| IpAddr::V4(Ipv4Addr::from(n << 8));
        let limit = u32::try_from(SENDERS_MAX).unwrap();
        assert!((0..limit).all(|n| deferrals.defers(ACCOUNT, network(n), at(0))));
        assert!(!deferrals.defers(ACCOUNT, network(limit), at(1)), "taken");
        assert_eq!(deferrals.known.len(), SENDERS_MAX);
    }
}
