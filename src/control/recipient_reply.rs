//! What the commands about recipients answer.

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::base::{DomainName, WallTime};
use crate::recipient::Unknown;

/// What is known of the recipients of one domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecipientDomainShown {
    /// The domain.
    pub domain: DomainName,
    /// Entries of its list.
    pub listed: u64,
    /// When that was uploaded.
    pub list_at: Option<WallTime>,
    /// Too old to refuse anybody.
    pub is_stale: bool,
    /// Addresses that the mail server accepted.
    pub accepted: u64,
    /// Addresses that it refused a moment ago.
    pub refused: u64,
    /// What happens to strangers.
    pub unknown: Unknown,
    /// What separates a name from its detail.
    pub separator: Option<char>,
    /// Whether the mail server takes every address; absent where it was not asked.
    #[serde(default)]
    pub takes_everybody: Option<bool>,
}

/// What is known of the recipients of an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecipientsShown {
    /// Its name.
    pub account: AccountName,
    /// By domain.
    pub domains: Vec<RecipientDomainShown>,
    /// Entries of the list that was asked for.
    pub entries: Vec<String>,
}
