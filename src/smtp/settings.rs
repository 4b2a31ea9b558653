//! How the SMTP room is set up, and the limits that no setting moves.

use std::time::Duration;

use ipnet::IpNet;

use crate::base::{ByteCount, DomainName, Mailbox, is_near};

/// Longest command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512; SMTPUTF8 paths and parameters of
/// extensions add to it, and real VERP addresses come near it.
pub const COMMAND_OCTETS_MAX: usize = 4096;

/// Recipients of one transaction. RFC 5321 §4.5.3.1.8 asks for at least 100.
pub const RECIPIENTS_MAX: usize = 1000;

/// Refused commands in one session, then 421. A sender with a stale list of recipients stays below.
pub const ERRORS_MAX: u32 = 20;

/// Commands that bring no mail forward (NOOP, RSET, VRFY, EHLO, ...) since the last message, then 421.
pub const IDLE_COMMANDS_MAX: u32 = 100;

/// `Received` lines in the content, then it is a loop (RFC 5321 §6.3 wants a large number, at least 100).
pub const RECEIVED_LINES_MAX: u32 = 100;

/// Octets of replies that collect before they are sent although the peer's pipelined commands go on.
pub const OUTPUT_OCTETS_MAX: usize = 8 * 1024;

/// Octets that one read takes at most.
pub const INPUT_OCTETS_MAX: usize = 16 * 1024;

/// Octets that a read takes from a peer that says little: a command.
pub const INPUT_OCTETS_MIN: usize = 512;

/// Transactions open at one time in all sessions, then MAIL is deferred: each holds some 100 KiB of content, so that all
/// together stay about 200 MiB. A thousand recipients with long paths may add as much again.
pub const TRANSACTIONS_MAX: u32 = 2_000;

/// Those of one IPv4 /24 or IPv6 /56: an open transaction is never asked to leave, so that no network may have them all.
pub const TRANSACTIONS_PER_NETWORK_MAX: u32 = 100;

/// Of all places one address of a forwarder may have one in so many: more than a stranger's, and never the whole house.
/// Customers name their forwarders themselves.
pub const FORWARDER_SHARE: u32 = 8;

/// Connections that wait to be taken from the kernel, per listener: a burst is greeted, not refused.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Octets kept for the operator where he has named no mailbox for the postmaster; beyond, such mail is deferred. His mail
/// is little, and strangers choose what comes.
pub const OPERATOR_OCTETS_MAX: u64 = 64 * 1024 * 1024;

/// What an operator may set. Nothing in it can make this a relay or acknowledge before the spool has committed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in the greeting and in `Received`.
    pub hostname: DomainName,
    /// Largest content taken, advertised with SIZE (RFC 1870 §4).
    pub message_octets_max: ByteCount,
    /// Content one account may have in the spool; beyond it mail is deferred with 452.
    pub account_octets_max: ByteCount,
    /// Where mail for `<Postmaster>`, and for `postmaster@` and `abuse@` our own name, goes (RFC 5321 §4.5.1). Has to be
    /// in a served domain; unset, such mail is kept here for the operator.
    pub postmaster: Option<Mailbox>,
    /// Sessions at a time; the next is told 421.
    pub sessions_max: u32,
    /// Sessions at a time from one IPv4 address or one IPv6 /64.
    pub sessions_per_network_max: u32,
    /// Connections a minute from one IPv4 /24 or IPv6 /56, with five minutes' worth at once; 0 for any number.
    pub connections_per_minute_max: u32,
    /// Messages a minute from one such network; the same holds.
    pub messages_per_minute_max: u32,
    /// Recipients a minute from one such network; the same holds.
    pub recipients_per_minute_max: u32,
    /// Networks without limits of their own: forwarders and smart hosts that carry mail of many.
    pub exempt_networks: Vec<IpNet>,
    /// Networks that are not the internet ([`is_near`]) have no limits by network, since what comes from there came
    /// through a proxy, a container's bridge or a tunnel and speaks for many. They leave for a newcomer like everybody.
    pub spares_near: bool,
    /// How long a peer whose network was refused many recipients waits for its greeting; zero for not at all.
    pub greeting_pause: Duration,
    /// Who talks before its greeting is sent away; otherwise it is only counted.
    pub refuses_early_talkers: bool,
    /// Senders on a list (`checks.dnsbl`) are deferred while the recipient's own server takes mail.
    pub defers_listed: bool,
    /// And while it does not: the owner's wish.
    pub defers_listed_while_offline: bool,
    /// Time limits.
    pub patience: Patience,
}

/// How long we wait for a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// For the next whole command; slow single octets do not extend it (RFC 5321 §4.5.3.2.7: 5 minutes).
    pub command: Duration,
    /// For the next octets of content (RFC 5321 §4.5.3.2.5: 3 minutes).
    pub content_block: Duration,
    /// Octets a second that content has to bring on average, once [`content_grace`](Self::content_grace) is over.
    pub content_rate_min: u32,
    /// Time from 354 in which the rate is not looked at: slow starts and greylisting proxies.
    pub content_grace: Duration,
    /// For one whole content, however fast it comes: 64 MiB at 5 kB/s.
    pub content_total: Duration,
    /// Without an accepted message in this time the session ends; content that keeps its rate is read to its end.
    pub without_progress: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the peer to take our replies.
    pub write: Duration,
    /// For running transactions when the service stops.
    pub shutdown: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            content_block: Duration::from_secs(180),
            content_rate_min: 128,
            content_grace: Duration::from_secs(60),
            content_total: Duration::from_secs(4 * 3600),
            without_progress: Duration::from_secs(3600),
            handshake: Duration::from_secs(60),
            write: Duration::from_secs(120),
            shutdown: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Whether limits by network do not apply to this peer.
    #[must_use]
    pub fn is_without_limits(&self, peer: std::net::IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.is_exempt(peer) || (self.spares_near && is_near(peer))
    }

    /// Whether the operator exempts this peer from limits.
    #[must_use]
    pub fn is_exempt(&self, peer: std::net::IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.exempt_networks.iter().any(|net| net.contains(&peer))
    }

    /// The defaults, for a service that calls itself `hostname`.
    #[must_use]
    pub fn new(hostname: DomainName) -> Self {
        Self {
            hostname,
            message_octets_max: ByteCount::mib(64),
            account_octets_max: ByteCount::mib(10 * 1024),
            postmaster: None,
            sessions_max: 12_000,
            sessions_per_network_max: 50,
            connections_per_minute_max: 300,
            messages_per_minute_max: 1_000,
            recipients_per_minute_max: 2_000,
            exempt_networks: Vec::new(),
            spares_near: true,
            greeting_pause: Duration::from_millis(500),
            refuses_early_talkers: false,
            defers_listed: false,
            defers_listed_while_offline: false,
            patience: Patience::default(),
        }
    }
}
