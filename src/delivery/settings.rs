//! What the operator settles for delivery, with the limits of RFC 5321 as defaults.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::schedule::RetryTimes;
use super::target::TargetRules;
use super::through::crossing::{BUDGET, SENDER_MAX};
use crate::account::OnlineMode;
use crate::base::DomainName;

/// Connections to primaries at one time, over all accounts: each costs two file handles' worth of kernel buffers and
/// up to [`BODY_OCTETS_IN_MEMORY_MAX`](super::content::BODY_OCTETS_IN_MEMORY_MAX).
pub const CONNECTIONS_MAX: usize = 200;

/// Connections to one primary at one time: more gain little and look like an attack.
pub const LANES_MAX: usize = 4;

/// What a 5yz in the first minutes after a return leads to ([`TRIAL`](super::schedule::TRIAL)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AfterRefusal {
    /// It is held, and asked for again when they are over.
    #[default]
    Hold,
    /// It counts at once.
    Judge,
}

/// How long delivery waits for a primary. A shorter wait after the dot makes duplicates (RFC 1047).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Until the TCP connection stands.
    pub connect: Duration,
    /// For the greeting (RFC 5321 §4.5.3.2.1).
    pub greeting: Duration,
    /// For the reply to EHLO, HELO, STARTTLS, RSET: as for MAIL.
    pub command: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the reply to MAIL (RFC 5321 §4.5.3.2.2).
    pub mail: Duration,
    /// For the reply to RCPT (RFC 5321 §4.5.3.2.3).
    pub rcpt: Duration,
    /// For the 354 (RFC 5321 §4.5.3.2.4).
    pub data: Duration,
    /// For one piece of content to leave (RFC 5321 §4.5.3.2.5).
    pub block: Duration,
    /// For the reply to the final dot (RFC 5321 §4.5.3.2.6).
    pub end_of_data: Duration,
    /// For the reply to QUIT; nothing depends on it.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(300),
            command: Duration::from_secs(300),
            handshake: Duration::from_secs(60),
            mail: Duration::from_secs(300),
            rcpt: Duration::from_secs(300),
            data: Duration::from_secs(120),
            block: Duration::from_secs(180),
            end_of_data: Duration::from_secs(600),
            quit: Duration::from_secs(5),
        }
    }
}

/// How long a passage of a waiting sender may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passing {
    /// Everything that the primary does meanwhile, see [`BUDGET`].
    pub budget: Duration,
    /// A sender without a word, see [`SENDER_MAX`].
    pub sender: Duration,
}

impl Default for Passing {
    fn default() -> Self {
        Self { budget: BUDGET, sender: SENDER_MAX }
    }
}

/// Settings of the room.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in EHLO. A primary that greets with it is ourselves.
    pub hostname: DomainName,
    /// Opens loopback as a target, for tests and the demo. Never in production.
    pub allow_loopback_targets: bool,
    /// Where we listen for SMTP: never a target.
    pub own_addresses: Vec<SocketAddr>,
    /// Waits.
    pub timeouts: Timeouts,
    /// When a deferred message or a failed connection is tried again.
    pub retry: RetryTimes,
    /// Connections at one time, see [`CONNECTIONS_MAX`]. At least one is used.
    pub connections_max: usize,
    /// Connections to one primary at one time, see [`LANES_MAX`]. At least one is used.
    pub lanes_max: usize,
    /// What a refusal just after a return leads to.
    pub after_refusal: AfterRefusal,
    /// What happens to mail while the primary is there, for accounts that say nothing else.
    pub online_mode: OnlineMode,
    /// How long a waiting sender waits for the primary, and the primary for him.
    pub passing: Passing,
    /// Authorities besides the public ones whose word for a name is taken.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Settings {
    /// Settings with every default.
    #[must_use]
    pub fn new(hostname: DomainName) -> Self {
        Self {
            hostname,
            allow_loopback_targets: false,
            own_addresses: Vec::new(),
            timeouts: Timeouts::default(),
            retry: RetryTimes::default(),
            connections_max: CONNECTIONS_MAX,
            lanes_max: LANES_MAX,
            after_refusal: AfterRefusal::default(),
            online_mode: OnlineMode::default(),
            passing: Passing::default(),
            authorities: Vec::new(),
        }
    }

    /// What [`target`](super::target) has to know.
    #[must_use]
    pub fn target_rules(&self) -> TargetRules<'_> {
        TargetRules { allow_loopback: self.allow_loopback_targets, own_addresses: &self.own_addresses }
    }
}
