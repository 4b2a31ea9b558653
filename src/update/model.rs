//! What is kept of updates: tokens, names, what an account settled, and the last request of each device.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use crate::base::{AccountId, DomainName, EndpointId, WallTime};

/// Tokens of one account, at most: a few devices for each name.
pub const TOKENS_PER_ACCOUNT_MAX: usize = 50;
/// Names of one account beside those of its servers, at most: a /56 full of machines is updated in five requests.
pub const HOSTS_PER_ACCOUNT_MAX: usize = 100;
/// Devices of one account whose last request is kept, at most; the longest silent one goes first.
pub const DEVICES_PER_ACCOUNT_MAX: usize = 20;
/// Characters kept of what a device calls itself.
pub const AGENT_CHARS_MAX: usize = 80;
/// Shortest silence after which a plain update runs out: routers repeat at most once a minute or so.
pub const EXPIRY_MIN: Duration = Duration::from_secs(5 * 60);
/// Longest one: a forced reconnect each day, and an hour.
pub const EXPIRY_MAX: Duration = Duration::from_secs(25 * 3_600);

/// What a token opens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// dyndns2 with a password: all names of the account, or one.
    Update,
    /// DuckDNS-style, in the address: one name.
    Duckdns,
    /// An address to be called: one name follows the caller.
    Ping,
    /// Sets nothing: makes keys for ACME clients, for all names of the account or one.
    Acme,
}

impl TokenKind {
    /// As stored and in commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Duckdns => "duckdns",
            Self::Ping => "ping",
            Self::Acme => "acme",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Update, Self::Duckdns, Self::Ping, Self::Acme].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A token as stored: its text opens nothing any more once it was shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRecord {
    /// Row; 0 before it is stored.
    pub id: i64,
    /// Whose.
    pub account: AccountId,
    /// What it opens.
    pub kind: TokenKind,
    /// The only name it may set; absent for all of the account.
    pub host: Option<DomainName>,
    /// One-way image of the text.
    pub verifier: [u8; 32],
    /// When it was made.
    pub created_at: WallTime,
    /// When it stops to be valid.
    pub expires_at: Option<WallTime>,
}

/// A dynamic name and where it points. The names of mail servers get a row with their first update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostName {
    /// Unique over all accounts.
    pub name: DomainName,
    /// Whose.
    pub account: AccountId,
    /// The mail server it belongs to.
    pub endpoint: EndpointId,
    /// Set by updates.
    pub address_v4: Option<Ipv4Addr>,
    /// Set by updates.
    pub address_v6: Option<Ipv6Addr>,
    /// Settled by the customer: the lower part of the address under any prefix.
    pub interface_id: Option<Ipv6Addr>,
    /// `offline=YES`: the name is taken away until the next update.
    pub is_withdrawn: bool,
    /// When an update last changed it. Of two rows the later one holds.
    pub changed_at: Option<WallTime>,
}

impl HostName {
    /// A name that points nowhere yet.
    #[must_use]
    pub const fn new(name: DomainName, account: AccountId, endpoint: EndpointId) -> Self {
        Self {
            name,
            account,
            endpoint,
            address_v4: None,
            address_v6: None,
            interface_id: None,
            is_withdrawn: false,
            changed_at: None,
        }
    }

    /// Both addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.address_v4.map(IpAddr::V4).into_iter().chain(self.address_v6.map(IpAddr::V6)).collect()
    }
}

/// What an account settled about its updates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Without beats: silence of the updates after which the address counts as gone. Absent: the probe alone decides.
    pub expiry: Option<Duration>,
    /// Our name is to stand in the MX set of the account (`backmx`).
    pub backup_mx: bool,
}

impl Policy {
    /// For the audit log.
    #[must_use]
    pub fn audit_words(&self) -> String {
        let expiry = self.expiry.map_or_else(|| "none".to_owned(), |expiry| format!("{}s", expiry.as_secs()));
        format!("updates.set expiry {expiry} backup-mx {}", if self.backup_mx { "yes" } else { "no" })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { expiry: None, backup_mx: true }
    }
}

/// Whose word counts for a mail server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Beats came at some time: only beats end an outage.
    Beats,
    /// Only updates so far: the probe decides.
    Updates,
}

impl Role {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beats => "beats",
            Self::Updates => "updates",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Beats, Self::Updates].into_iter().find(|role| role.as_str() == text)
    }
}

/// What tells us whether a mail server is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Heartbeats.
    Beats,
    /// A router's updates, and our probe.
    Updates,
    /// Nothing yet.
    None,
}

/// The last request of one device, with what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRequest {
    /// Whose.
    pub account: AccountId,
    /// `token 7`, or `unknown token`.
    pub device: String,
    /// When.
    pub at: WallTime,
    /// Where it came from.
    pub peer: IpAddr,
    /// What the device calls itself, cut and without control characters.
    pub agent: String,
    /// Nobody on the way could read it.
    pub is_encrypted: bool,
    /// Names as asked for, cut.
    pub hosts: String,
    /// The words we answered, behind each other.
    pub answer: String,
    /// Why.
    pub reason: Reason,
}

impl DeviceRequest {
    /// Whether it tells nothing new over `earlier`: such a request is not written again.
    #[must_use]
    pub fn repeats(&self, earlier: &Self) -> bool {
        let facts = |r: &Self| (r.peer, r.is_encrypted, r.reason);
        let texts = |r: &Self| (r.agent.clone(), r.hosts.clone(), r.answer.clone());
        facts(self) == facts(earlier) && texts(self) == texts(earlier)
    }
}

/// Cuts a text of a stranger to `chars_max` characters and takes control characters out.
#[must_use]
pub fn visible(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}
