//! How the checks are set up, and their limits.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::DomainName;

/// Messages that wait for their checks. More than that are checked once there is time again, if they are still here.
pub const QUEUE_MAX: usize = 1_000;

/// Messages that are checked at one time, beside those that take long ([`lanes`](super::lanes)). Each holds its header section and one piece of content: with the largest
/// header section of [`HEADER_OCTETS_MAX`](super::content::HEADER_OCTETS_MAX) that is some 5 MiB for all together.
pub const CHECKS_AT_ONCE: usize = 16;

/// Answers of the DNS that are kept for the next question.
pub const CACHED_ANSWERS_MAX: u64 = 4_096;

/// Tries of one question of the DNS.
pub const TRIES: usize = 2;

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether senders are checked at all.
    pub is_on: bool,
    /// Who is asked; none for those in `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
    /// For one try of one question.
    pub question_timeout: Duration,
    /// For everything that is asked of one message; what is open then is `temperror`.
    pub message_timeout: Duration,
    /// Zones of lists of bad senders (RFC 5782 §2).
    pub lists: Vec<DomainName>,
    /// Senders of whom nothing is asked: this machine and what the operator names.
    pub exempt_networks: Vec<IpNet>,
    /// Machines that pass on mail of others: SPF and the name of the address would judge them and are not asked.
    pub forwarders: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_on: true,
            resolvers: Vec::new(),
            question_timeout: Duration::from_secs(3),
            message_timeout: Duration::from_secs(20),
            lists: Vec::new(),
            exempt_networks: Vec::new(),
            forwarders: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether nothing is asked of this peer: it is on this machine, or the operator says so.
    #[must_use]
    pub fn is_exempt(&self, peer: std::net::IpAddr) -> bool {
        peer.is_loopback() || self.exempt_networks.iter().any(|net| net.contains(&peer))
    }
}
