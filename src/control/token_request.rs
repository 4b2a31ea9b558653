//! Commands about tokens of the API, and what they answer.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::{AccountName, ApiToken, ApiTokenId, ApiTokenIdError, Scopes};
use crate::base::WallTime;

/// Such a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "tokens", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenRequest {
    /// A new token.
    New {
        /// Whose.
        account: AccountName,
        /// What it is for.
        label: String,
        /// What it opens.
        scopes: Scopes,
        /// How long it is valid, seconds; for ever if absent.
        valid_s: Option<u64>,
    },
    /// A new secret for a token.
    Rotate {
        /// Whose.
        account: AccountName,
        /// Which.
        id: ApiTokenId,
        /// How long the secret of today is still taken, seconds.
        overlap_s: u64,
    },
    /// One less.
    Revoke {
        /// Whose.
        account: AccountName,
        /// Which.
        id: ApiTokenId,
    },
}

/// A token of either kind, as the command line names it: a number is one of a device, all else one of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenNumber {
    /// For updates.
    Update(i64),
    /// Of the API.
    Api(ApiTokenId),
}

impl FromStr for TokenNumber {
    type Err = ApiTokenIdError;
    fn from_str(text: &str) -> Result<Self, ApiTokenIdError> {
        text.parse().map(Self::Update).or_else(|_| text.parse().map(Self::Api))
    }
}

/// A token of the API. Its secret is in [`FreshTokenShown`] alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiTokenShown {
    /// Says which one is meant.
    pub id: ApiTokenId,
    /// Whose.
    pub account: AccountName,
    /// What it is for.
    pub label: String,
    /// What it opens.
    pub scopes: Scopes,
    /// By whom it was made.
    pub made_by: String,
    /// When.
    pub created_at: WallTime,
    /// When its secret was changed last.
    pub rotated_at: Option<WallTime>,
    /// Until when the secret before that is good; absent once it is not.
    pub old_until: Option<WallTime>,
    /// When it stops to be valid.
    pub expires_at: Option<WallTime>,
    /// When it was used last, to the hour.
    pub last_used_at: Option<WallTime>,
}

impl ApiTokenShown {
    /// What may be told of a token.
    #[must_use]
    pub fn of(token: &ApiToken, account: AccountName, now: WallTime) -> Self {
        Self {
            id: token.id.clone(),
            account,
            label: token.label.clone(),
            scopes: token.scopes,
            made_by: token.made_by.clone(),
            created_at: token.created_at,
            rotated_at: token.rotated_at,
            old_until: token.old.map(|(_, until)| until).filter(|until| *until > now),
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// A token of the API with its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FreshTokenShown {
    /// The whole text, shown this once.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub shown: ApiTokenShown,
}
