//! Who passes mail on to an account: machines of its web host, which carry mail of many and say nothing of its senders.
//!
//! What they are spared holds for mail of that account alone. To other accounts they are strangers, so that nobody can
//! free a sender from the limits of others by naming it.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::base::is_near;

/// Networks of one account, at most: a web host has a handful.
pub const FORWARDERS_MAX: usize = 32;
/// Shortest prefix of an IPv4 network: the relays of a large provider lie in one of this size.
pub const V4_PREFIX_MIN: u8 = 16;
/// Shortest prefix of an IPv6 network: what a provider gets from its registry.
pub const V6_PREFIX_MIN: u8 = 32;

/// Why a list of forwarders is not taken.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ForwarderError {
    /// So many machines are no web host.
    #[error(
        "{0} is too wide: name the forwarding machines by networks of /{V4_PREFIX_MIN} or /{V6_PREFIX_MIN} and smaller"
    )]
    TooWide(IpNet),
    /// Private networks have no limits by network, and nobody else's machines are there.
    #[error("{0} is no network of the internet")]
    NotOfTheInternet(IpNet),
    /// See [`FORWARDERS_MAX`].
    #[error("{0} networks: an account may name {FORWARDERS_MAX}")]
    TooMany(usize),
}

/// The networks as they are kept: without host bits, in order, each once.
///
/// # Errors
/// [`ForwarderError`], which says what to name instead.
pub fn checked_forwarders(named: &[IpNet]) -> Result<Vec<IpNet>, ForwarderError> {
    let mut networks = Vec::with_capacity(named.len());
    for network in named {
        let network = network.trunc();
        let least = if network.addr().is_ipv4() { V4_PREFIX_MIN } else { V6_PREFIX_MIN };
        if network.prefix_len() < least {
            return Err(ForwarderError::TooWide(network));
        }
        let (first, last) = (network.addr(), network.broadcast());
        let is_odd = |address: IpAddr| is_near(address) || address.is_multicast() || address.is_unspecified();
        if is_odd(first) || is_odd(last) {
            return Err(ForwarderError::NotOfTheInternet(network));
        }
        networks.push(network);
    }
    networks.sort_unstable();
    networks.dedup();
    if networks.len() > FORWARDERS_MAX {
        return Err(ForwarderError::TooMany(networks.len()));
    }
    Ok(networks)
}

/// The forwarders of all accounts, asked for each connection: one look for each length of prefix that occurs.
#[derive(Clone, Debug, Default)]
pub(super) struct ForwarderTable {
    v4_lengths: Vec<u8>,
    v6_lengths: Vec<u8>,
    networks: HashSet<IpNet>,
}

impl ForwarderTable {
    pub(super) fn new<'a>(named: impl Iterator<Item = &'a IpNet>) -> Self {
        let mut table = Self::default();
        for network in named {
            let lengths = if network.addr().is_ipv4() { &mut table.v4_lengths } else { &mut table.v6_lengths };
            if !lengths.contains(&network.prefix_len()) {
                lengths.push(network.prefix_len());
            }
            table.networks.insert(network.trunc());
        }
        table
    }

    pub(super) fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let lengths = if peer.is_ipv4() { &self.v4_lengths } else { &self.v6_lengths };
        let network = |length: &u8| IpNet::new(peer, *length).map(|network| network.trunc());
        lengths.iter().filter_map(|length| network(length).ok()).any(|network| self.networks.contains(&network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn networks_are_kept_once_and_without_host_bits() {
        let kept = checked_forwarders(&nets(&["203.0.113.77/24", "2001:db8:5::1/48", "203.0.113.0/24"])).unwrap();
        assert_eq!(kept, nets(&["203.0.113.0/24", "2001:db8:5::/48"]));
    }

    #[test]
    fn what_cannot_be_a_web_host_is_refused() {
        for wide in ["0.0.0.0/0", "203.0.0.0/15", "::/0", "2001:d00::/31"] {
            let refused = checked_forwarders(&nets(&[wide]));
            assert!(matches!(refused, Err(ForwarderError::TooWide(_))), "{wide}: {refused:?}");
        }
        for odd in
            ["127.0.0.1/32", "10.1.0.0/16", "100.64.3.0/24", "224.0.0.0/16", "fc00:1::/32", "::1/128", "0.0.0.0/16"]
        {
            let refused = checked_forwarders(&nets(&[odd]));
            assert!(matches!(refused, Err(ForwarderError::NotOfTheInternet(_))), "{odd}: {refused:?}");
        }
        let many: Vec<IpNet> = (0..33).map(|n| format!("203.0.{n}.0/24").parse().unwrap()).collect();
        assert_eq!(checked_forwarders(&many), Err(ForwarderError::TooMany(33)));
        assert_eq!(checked_forwarders(&many[..32]).unwrap().len(), 32);
    }

    #[test]
    fn the_table_has_exactly_what_is_in_the_networks() {
        let named = nets(&["203.0.113.0/24", "198.51.100.7/32", "2001:db8:5::/48"]);
        let table = ForwarderTable::new(named.iter());
        for (peer, is_in) in [
            ("203.0.113.0", true),
            ("::ffff:203.0.113.255", true),
            ("203.0.112.255", false),
            ("203.0.114.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:5:ffff::1", true),
            ("2001:db8:6::1", false),
        ] {
            assert_eq!(table.contains(peer.parse().unwrap()), is_in, "{peer}");
        }
        assert!(!ForwarderTable::default().contains("203.0.113.1".parse().unwrap()));
    }
}
