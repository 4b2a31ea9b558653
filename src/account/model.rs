//! The rows of the account room as plain values.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{AccountId, DomainName, EndpointId, PersonId, WallTime};

/// How long senders are put off after an account or a domain has left, so that the MX records can follow
/// (longer than any TTL, shorter than nobody noticing).
pub const LEAVING_FOR: Duration = Duration::from_secs(30 * 86_400);
/// How long new mail is still taken for a suspended account; afterwards senders are put off, never refused.
pub const SUSPENDED_TAKES_MAIL_FOR: Duration = Duration::from_secs(7 * 86_400);
/// The operator's own account: it has mail for the postmaster of this host, no server and no domain. No customer ever has
/// this row; its name in the store is none that a customer may have.
pub const OPERATOR: AccountId = AccountId(0);
/// What the operator's account is called in lists and commands.
pub const OPERATOR_NAME: &str = "operator";
/// Longest name of an account.
pub const ACCOUNT_NAME_CHARS_MAX: usize = 63;

/// Short name of an account in commands and logs: lower case letters, digits, hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// The text is not a name for an account.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an account's name has 1 to {ACCOUNT_NAME_CHARS_MAX} lower case letters, digits, hyphens or dots and begins with a letter or digit"
)]
pub struct AccountNameError;

impl AccountName {
    /// The name as typed in commands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;
    fn from_str(text: &str) -> Result<Self, AccountNameError> {
        let good = (1..=ACCOUNT_NAME_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if good { Ok(Self(text.to_owned())) } else { Err(AccountNameError) }
    }
}

impl std::borrow::Borrow<str> for AccountName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = AccountNameError;
    fn try_from(text: String) -> Result<Self, AccountNameError> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the contract allows. Separate from the liveness of the account's servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// Mail is taken and delivered.
    Active,
    /// Mail is taken for [`SUSPENDED_TAKES_MAIL_FOR`] and kept, not delivered.
    Suspended,
    /// Mail is put off for [`LEAVING_FOR`], then the account goes; what is held is still delivered.
    Leaving,
}

impl AccountStatus {
    /// As in the audit log and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Leaving => "leaving",
        }
    }
}

impl FromStr for AccountStatus {
    type Err = &'static str;
    fn from_str(word: &str) -> Result<Self, &'static str> {
        [Self::Active, Self::Suspended, Self::Leaving]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or("not the status of an account")
    }
}

/// What happens to mail that comes to us although the account's server is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnlineMode {
    /// The primary is asked while the sender waits, and its word is passed on.
    #[default]
    CutThrough,
    /// The sender is asked to use the primary.
    Defer,
    /// Stored, and relayed at once.
    Accept,
}

impl OnlineMode {
    /// As in commands, the configuration, the audit log and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CutThrough => "cut-through",
            Self::Defer => "defer",
            Self::Accept => "accept",
        }
    }
}

impl fmt::Display for OnlineMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnlineMode {
    type Err = &'static str;
    fn from_str(word: &str) -> Result<Self, &'static str> {
        let all = [Self::CutThrough, Self::Defer, Self::Accept];
        all.into_iter().find(|mode| mode.as_str() == word).ok_or("say cut-through, defer or accept")
    }
}

/// One customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Row.
    pub id: AccountId,
    /// Unique.
    pub name: AccountName,
    /// Contract.
    pub status: AccountStatus,
    /// Since when.
    pub status_since: WallTime,
    /// When it was made.
    pub created_at: WallTime,
    /// What happens to mail while its server is there, where it is not what the configuration says for all.
    pub online_mode: Option<OnlineMode>,
}

/// What a mail server offered in its newest reply to EHLO, as far as it decides about mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manners {
    /// Largest message it takes, octets with our trace line; absent without a limit (RFC 1870 §3).
    pub octets_max: Option<u64>,
    /// RFC 6152 §2.
    pub eight_bit_mime: bool,
    /// RFC 6531 §3.1.
    pub smtputf8: bool,
}

/// One mail server of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Row.
    pub id: EndpointId,
    /// Whose.
    pub account: AccountId,
    /// The dynamic name that follows its address, also served as a mail domain.
    pub host: DomainName,
    /// Where its SMTP server listens.
    pub smtp_port: u16,
    /// Last proven IPv4 address; kept over restarts so that a return to it needs no signature.
    pub address_v4: Option<Ipv4Addr>,
    /// Last proven IPv6 address.
    pub address_v6: Option<Ipv6Addr>,
    /// SHA-256 of the SubjectPublicKeyInfo that its SMTP server showed when it was last trusted.
    pub pin: Option<[u8; 32]>,
    /// How it spoke last; absent before it was ever heard.
    pub manners: Option<Manners>,
}

impl Endpoint {
    /// Whether `address` is the last proven one of its family.
    #[must_use]
    pub fn has_proven(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.address_v4 == Some(v4),
            IpAddr::V6(v6) => self.address_v6 == Some(v6),
        }
    }
}

/// The keys of one heartbeat token as stored (docs/PROTOCOL.md §2). MAC keys are sealed; the rest opens nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BeatKeyRecord {
    /// Whose beats these are.
    pub endpoint: EndpointId,
    /// Finds the key in a datagram; random to everybody else. Unique.
    pub locator: [u8; 8],
    /// Both MAC keys, sealed with the server's [`SealKey`](super::SealKey) and bound to the locator.
    pub sealed_mac_keys: Vec<u8>,
    /// Ed25519 public key for moves.
    pub move_key: [u8; 32],
    /// One-way image of the whole token, for checks over HTTPS.
    pub bearer_verifier: [u8; 32],
    /// When the key was made.
    pub created_at: WallTime,
    /// When it stops to be valid: set for a rotated key, absent for the current one.
    pub expires_at: Option<WallTime>,
}

/// A mail domain that we take mail for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Normalised and unique over all accounts.
    pub name: DomainName,
    /// Whose.
    pub account: AccountId,
    /// Which servers may have its mail, best first. Never empty.
    pub endpoints: Vec<EndpointId>,
}

/// Somebody who may sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// Row.
    pub id: PersonId,
    /// As shown in the audit log.
    pub name: String,
    /// Runs the service: sees the envelope view of every account.
    pub is_operator: bool,
}

/// What a person may do in one account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, retries, changes servers and domains.
    Technician,
    /// Everything, people included.
    Owner,
}

/// A person's place in an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Who.
    pub person: PersonId,
    /// Where.
    pub account: AccountId,
    /// As what.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts_are_safe_in_commands_and_logs() {
        assert_eq!("firma-2.de".parse::<AccountName>().unwrap().as_str(), "firma-2.de");
        for text in ["", "-a", "A", "a b", "a\n", "ä", "../x", &"a".repeat(64)] {
            assert_eq!(text.parse::<AccountName>(), Err(AccountNameError), "{text:?}");
        }
    }
}
