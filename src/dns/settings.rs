//! What the operator settled about names and answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::base::DomainName;

/// What a dynamic name answers while its server is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// Our own addresses: a sender that follows the first MX is with us at once.
    Park,
    /// Addresses that refuse connections at once.
    Neutral,
    /// No address record.
    Nothing,
}

/// Settings of the room.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service's own zone, in which dynamic names are given out.
    pub zone: DomainName,
    /// Name servers of that zone, the first one is the primary of its SOA record.
    pub name_servers: Vec<DomainName>,
    /// Mailbox of the SOA record, as a domain name (RFC 1035 §3.3.13).
    pub contact: DomainName,
    /// The second MX of every dynamic name: ourselves.
    pub backup_mx: DomainName,
    /// TTL of dynamic names, which is also that of their absence.
    pub ttl: Duration,
    /// See [`Offline`].
    pub offline: Offline,
    /// Our own addresses: of parked names, and of our name servers whose names lie in the zone.
    pub own_addresses: Vec<IpAddr>,
    /// For [`Offline::Neutral`].
    pub neutral_addresses: Vec<IpAddr>,
    /// Loopback addresses are published.
    pub allow_loopback: bool,
    /// Where our SMTP server listens: never a customer's address.
    pub smtp_addresses: Vec<SocketAddr>,
    /// Answers a second to one network over UDP, about; 0 for no limit.
    pub answers_per_second: u32,
    /// Networks without that limit.
    pub exempt_networks: Vec<ipnet::IpNet>,
    /// Connections over TCP and TLS at one time.
    pub connections_max: usize,
}

impl Settings {
    /// What names answer whose server is not there.
    #[must_use]
    pub fn offline_addresses(&self) -> &[IpAddr] {
        match self.offline {
            Offline::Park => &self.own_addresses,
            Offline::Neutral => &self.neutral_addresses,
            Offline::Nothing => &[],
        }
    }

    /// TTL in seconds.
    #[must_use]
    pub fn ttl_s(&self) -> u32 {
        u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX)
    }
}

/// The IPv4 addresses of a list.
pub fn v4_of(addresses: &[IpAddr]) -> impl Iterator<Item = Ipv4Addr> + '_ {
    addresses.iter().filter_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    })
}

/// The IPv6 addresses of a list.
pub fn v6_of(addresses: &[IpAddr]) -> impl Iterator<Item = Ipv6Addr> + '_ {
    addresses.iter().filter_map(|address| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    })
}
