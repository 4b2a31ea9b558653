//! What stops the flush of an account, and what a person may rule about mail that is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::{AccountId, SpoolId, WallTime};

/// Who stopped the flush. Survives a restart of the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// A person; ends when a person says so.
    Operator,
    /// The primary refused recipients that it took before; ends when it takes one again, or when a person says so.
    Breaker,
}

impl HoldKind {
    /// As stored and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Breaker => "breaker",
        }
    }
}

impl fmt::Display for HoldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored kind has an unknown word.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no kind of hold")]
pub struct HoldKindError(String);

impl FromStr for HoldKind {
    type Err = HoldKindError;
    fn from_str(text: &str) -> Result<Self, HoldKindError> {
        [Self::Operator, Self::Breaker]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| HoldKindError(text.to_owned()))
    }
}

/// The flush of an account is stopped; its mail is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// By whom.
    pub kind: HoldKind,
    /// In words, for people.
    pub reason: String,
    /// Since when.
    pub since: WallTime,
}

/// What a person says about one message. Recipients that are just being delivered are left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// Waiting ones are kept back.
    Hold,
    /// Those kept back, refused or expired are tried now.
    Release,
    /// Waiting ones are given up and go to quarantine.
    Fail,
    /// Everything not delivered is removed for good.
    Drop,
}

impl Ruling {
    /// As in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Fail => "fail",
            Self::Drop => "drop",
        }
    }
}

/// A note made before the final dot of a message is sent: should the process die now, this message may arrive twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DotNote {
    /// Which connection; its next note replaces this one.
    pub lane: u64,
    /// Which message.
    pub message: SpoolId,
    /// To whom.
    pub peer: std::net::SocketAddr,
    /// When.
    pub at: WallTime,
}

/// What has run out, and is removed or put into quarantine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpiryTerms {
    /// Waiting mail that was accepted before expires.
    pub accepted_before: WallTime,
    /// Refused and expired mail that ended before is removed.
    pub ended_before: WallTime,
    /// Both times for accounts whose mail may stay for longer; never later than those above.
    pub longer: BTreeMap<AccountId, (WallTime, WallTime)>,
}

impl ExpiryTerms {
    /// The same for every account.
    #[must_use]
    pub const fn of_all(accepted_before: WallTime, ended_before: WallTime) -> Self {
        Self { accepted_before, ended_before, longer: BTreeMap::new() }
    }

    /// When waiting mail of an account came that expires, and when its quarantined mail ended that is removed: before.
    #[must_use]
    pub fn of(&self, account: AccountId) -> (WallTime, WallTime) {
        self.longer.get(&account).copied().unwrap_or((self.accepted_before, self.ended_before))
    }
}

/// What became of it, in recipients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiry {
    /// Went to quarantine.
    pub expired: u64,
    /// Were removed.
    pub removed: u64,
}

/// Mail of one account that waits for longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OldestWaiting {
    /// Whose.
    pub account: AccountId,
    /// When it was accepted.
    pub accepted_at: WallTime,
}
