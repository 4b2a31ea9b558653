//! How many connections of browsers and devices there are, in all and from one network. They share the descriptors of
//! the process with the mail, so a stranger who opens thousands must not keep senders out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{is_near, network_of};

pub(super) mod driver;

/// Connections from one network, at most: an office of some dozens with several browsers.
const CONNECTIONS_PER_NETWORK_MAX: usize = 512;

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// Counts connections, over all listeners.
#[derive(Debug)]
pub(super) struct Crowd {
    all_max: usize,
    per_network_max: usize,
    counts: Mutex<Counts>,
}

/// One connection, uncounted when dropped.
#[derive(Debug)]
pub(super) struct Counted {
    crowd: Arc<Crowd>,
    network: Option<IpAddr>,
}

impl Crowd {
    /// For so many connections in all.
    pub(super) fn new(all_max: usize) -> Arc<Self> {
        Self::of(all_max, CONNECTIONS_PER_NETWORK_MAX)
    }

    fn of(all_max: usize, per_network_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, per_network_max, counts: Mutex::default() })
    }

    /// A place for a connection from `peer`, or none. Our own machine and networks that are not the internet are limited by
    /// the count of all alone, as at port 25: behind a proxy or a container's bridge everybody comes from there.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let network = (!is_near(peer)).then(|| network_of(peer));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.all_max {
            return None;
        }
        if let Some(network) = network {
            let own = counts.by_network.get(&network).copied().unwrap_or(0);
            if own >= self.per_network_max {
                return None;
            }
            counts.by_network.insert(network, own + 1);
        }
        counts.all += 1;
        Some(Counted { crowd: Arc::clone(self), network })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        let Some(network) = self.network else { return };
        match counts.by_network.get_mut(&network) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                counts.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_gets_it_back() {
        let crowd = Crowd::of(4, 2);
        let enter = |text: &str| crowd.enter(text.parse().unwrap());
        let first = enter("2001:db8::1").unwrap();
        let _second = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none(), "one /64 is one network");
        let _other = enter("192.0.2.1").unwrap();
        drop(first);
        let _again = enter("2001:db8::3").unwrap();
        let _proxy = enter("127.0.0.1").unwrap();
        assert!(enter("127.0.0.1").is_none(), "the house is full");
    }

    #[test]
    fn a_bridge_or_a_proxy_nearby_stands_for_many() {
        let crowd = Crowd::of(100, 2);
        let enter = |text: &str| crowd.enter(text.parse().unwrap());
        for near in ["172.17.0.1", "10.0.0.1", "100.64.0.9", "::ffff:192.168.1.1", "fd00::1", "::1"] {
            let places: Vec<_> = (0..10).map(|_| enter(near).unwrap()).collect();
            assert_eq!(places.len(), 10, "{near}");
        }
        let _places = [enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap()];
        assert!(enter("192.0.2.1").is_none());
    }

    #[test]
    fn networks_that_left_are_forgotten() {
        let crowd = Crowd::of(10, 2);
        drop((crowd.enter("192.0.2.1".parse().unwrap()), crowd.enter("192.0.2.1".parse().unwrap())));
        assert!(crowd.counts.lock().unwrap().by_network.is_empty());
        assert_eq!(crowd.counts.lock().unwrap().all, 0);
    }
}
