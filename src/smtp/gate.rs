//! How many sessions are there, and is there a place for one more from this network?

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use super::settings::Settings;

/// Counts sessions, in all and by network.
#[derive(Debug)]
pub struct Gate {
    sessions_max: u32,
    per_network_max: u32,
    exempt: Vec<IpNet>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: u32,
    by_network: HashMap<IpAddr, u32>,
}

/// A place in the gate, given back when dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    network: Option<IpAddr>,
}

/// An IPv4 address, or the /64 of an IPv6 address: one customer of a provider.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

impl Gate {
    /// An empty house.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            sessions_max: settings.sessions_max,
            per_network_max: settings.sessions_per_network_max,
            exempt: settings.exempt_networks.clone(),
            counts: Mutex::default(),
        })
    }

    /// A place for a session from `peer`, or none.
    #[must_use]
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let network = (!self.exempt.iter().any(|net| net.contains(&peer))).then(|| network_of(peer));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.sessions >= self.sessions_max {
            return None;
        }
        if let Some(network) = network {
            let own = counts.by_network.entry(network).or_default();
            if *own >= self.per_network_max {
                return None;
            }
            *own += 1;
        }
        counts.sessions += 1;
        Some(Place { gate: Arc::clone(self), network })
    }

    /// Sessions now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).sessions
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.sessions = counts.sessions.saturating_sub(1);
        let Some(network) = self.network else { return };
        if let Some(own) = counts.by_network.get_mut(&network) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn gate(sessions_max: u32, per_network: u32) -> Arc<Gate> {
        let mut settings = Settings::new(DomainName::parse("mx.example").unwrap());
        settings.sessions_max = sessions_max;
        settings.sessions_per_network_max = per_network;
        settings.exempt_networks = vec!["203.0.113.0/24".parse().unwrap()];
        Gate::new(&settings)
    }

    fn enter(gate: &Arc<Gate>, text: &str) -> Option<Place> {
        gate.enter(text.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_share_and_gets_it_back() {
        let gate = gate(10, 2);
        let first = enter(&gate, "192.0.2.1");
        let _second = enter(&gate, "::ffff:192.0.2.1").unwrap();
        assert!(enter(&gate, "192.0.2.1").is_none());
        assert!(enter(&gate, "192.0.2.2").is_some());
        drop(first);
        assert!(enter(&gate, "192.0.2.1").is_some());
        assert_eq!(gate.sessions(), 1);
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let gate = gate(10, 1);
        let _first = enter(&gate, "2001:db8:0:1::1").unwrap();
        assert!(enter(&gate, "2001:db8:0:1:ffff::2").is_none());
        assert!(enter(&gate, "2001:db8:0:2::1").is_some());
    }

    #[test]
    fn exempt_networks_know_only_the_limit_of_all() {
        let gate = gate(3, 1);
        let _places: Vec<_> = (0..3).map(|_| enter(&gate, "203.0.113.5").unwrap()).collect();
        assert!(enter(&gate, "203.0.113.5").is_none());
        assert!(enter(&gate, "192.0.2.1").is_none());
    }
}
