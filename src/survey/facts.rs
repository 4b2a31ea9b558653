//! What was seen of a domain, and what it is compared with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::{DomainName, WallTime};

/// What one question to the DNS came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<T> {
    /// These, in the order of the answer.
    Found {
        /// At least one.
        values: Vec<T>,
        /// What is left of the time for which the answer is believed, s. A resolver that kept it counts down.
        ttl_s: u32,
    },
    /// The name exists and has no such record.
    Nothing,
    /// The name does not exist.
    NoName,
    /// Nobody answered in time, or with an error: nothing is known.
    Silent,
}

impl<T> Answer<T> {
    /// What was found.
    #[must_use]
    pub fn values(&self) -> &[T] {
        if let Self::Found { values, .. } = self { values } else { &[] }
    }

    /// How long it is believed, s.
    #[must_use]
    pub const fn ttl_s(&self) -> Option<u32> {
        if let Self::Found { ttl_s, .. } = self { Some(*ttl_s) } else { None }
    }

    /// Whether nothing is known.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }
}

/// One MX record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Exchange {
    /// The lower, the earlier.
    pub preference: u16,
    /// Lower case without the last dot; empty for "no mail here" (RFC 7505 §3).
    pub host: String,
}

/// A host that mail is sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Where it leads if it is an alias.
    pub alias: Option<String>,
    /// A and AAAA.
    pub addresses: Answer<IpAddr>,
    /// Whether a TLSA record stands at `_25._tcp`; absent if unknown.
    pub has_tlsa: Option<bool>,
}

/// A call at port 25 of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Port {
    /// Nobody was reached there; why, in words.
    Closed(String),
    /// Somebody who is no mail server, or who does not greet with 220; what was said.
    Odd(String),
    /// A mail server without STARTTLS.
    Plain,
    /// STARTTLS is offered and the handshake fails; why.
    Failed(String),
    /// A mail server with TLS.
    Tls {
        /// A public authority vouches for the name of the host.
        is_name_valid: bool,
        /// When the certificate ends; absent if it cannot be read.
        not_after: Option<WallTime>,
    },
}

/// MTA-STS (RFC 8461).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sts {
    /// The domain has none.
    Absent,
    /// It has one that cannot be fetched; why.
    Unread(String),
    /// As fetched.
    Policy {
        /// Senders refuse other servers (`mode: enforce`).
        is_enforced: bool,
        /// `mx` lines.
        hosts: Vec<String>,
    },
}

/// Everything seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// NS of the domain.
    pub name_servers: Answer<String>,
    /// MX of the domain.
    pub exchanges: Answer<Exchange>,
    /// SPF records of the domain, as they stand.
    pub spf: Answer<String>,
    /// MTA-STS of the domain.
    pub sts: Sts,
    /// Every host looked at, by name.
    pub hosts: BTreeMap<String, Host>,
    /// Calls at port 25 of the customer's servers; empty where none was made.
    pub ports: BTreeMap<(String, IpAddr), Port>,
    /// PTR of our own addresses.
    pub pointers: BTreeMap<IpAddr, Answer<String>>,
    /// SPF records of our own name, which is the one we say in HELO.
    pub own_spf: Answer<String>,
}

/// What is served for the domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// Which.
    pub domain: DomainName,
    /// Whether an account of ours has it.
    pub is_served: bool,
    /// The customer's servers, the first one first.
    pub primaries: Vec<Primary>,
    /// Our own name.
    pub hostname: DomainName,
    /// Our public addresses, as far as the configuration names them.
    pub own_addresses: Vec<IpAddr>,
    /// Our name servers, if we host the zone that the domain lies in.
    pub zone_servers: Option<Vec<DomainName>>,
}

/// One of the customer's servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Primary {
    /// Its name.
    pub host: DomainName,
    /// Where that name should lead now; empty where that is unknown.
    pub addresses: Vec<IpAddr>,
    /// The name is ours to answer and moves with the heartbeats.
    pub is_dynamic: bool,
    /// The name leads to us just now, as the server is away.
    pub is_parked: bool,
}
