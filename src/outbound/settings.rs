//! How mail of our own leaves.

use std::time::Duration;

use super::sign::Signer;
use crate::base::Mailbox;
use crate::delivery;

/// Mails to one domain in an hour, unless told otherwise.
pub const PER_DOMAIN_HOUR: u64 = 20;

/// A machine that sends on what we give it.
#[derive(Clone, PartialEq, Eq)]
pub struct SmartHost {
    /// Name or address.
    pub host: String,
    /// Port; TLS begins with STARTTLS.
    pub port: u16,
    /// Name and password, said over TLS to the named host only.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for SmartHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmartHost").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Settings of the room.
#[derive(Debug)]
pub struct Settings {
    /// In `From`.
    pub from: Mailbox,
    /// Waits, our name and what is never a target.
    pub delivery: delivery::Settings,
    /// Everything goes there; without it to the hosts of the recipient's domain.
    pub smart_host: Option<SmartHost>,
    /// Port of the hosts of a domain: 25 (RFC 5321 §4.5.4.2).
    pub mx_port: u16,
    /// Signs what leaves.
    pub signer: Option<Signer>,
    /// Mails to one domain in an hour, at most.
    pub per_domain_hour: u64,
    /// Senders who asked for it are told of a delay of that length; never without it.
    pub warn_sender_after: Option<Duration>,
    /// How long mail waits and is kept.
    pub keep: Duration,
    /// Hour of the day, UTC, from which on the digests are written.
    pub digest_hour: u32,
    /// The operator's own addresses: mail for him is sent on to them.
    pub operator: Vec<Mailbox>,
    /// Where the pages are.
    pub page: String,
}
