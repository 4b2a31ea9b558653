//! What commands about secondaries and shared keys answer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::base::{DomainName, WallTime};
use crate::dns::amend::scope::TypeList;

/// A server that follows a zone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SecondaryShown {
    /// Which zone.
    pub zone: DomainName,
    /// Where it is told of changes.
    pub address: SocketAddr,
    /// What it signs with; without one it is known by its address.
    pub key: Option<DomainName>,
}

/// A new shared key; its secret is shown this once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewKeyShown {
    /// Its name.
    pub name: DomainName,
    /// As other servers call it.
    pub algorithm: String,
    /// In base64.
    pub secret: String,
}

/// A shared key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyShown {
    /// Its name.
    pub name: DomainName,
    /// When it was made.
    pub created_at: WallTime,
    /// What it may change.
    pub scopes: Vec<ScopeShown>,
}

/// What a shared key may change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScopeShown {
    /// Whose name.
    pub account: AccountName,
    /// The name.
    pub name: DomainName,
    /// All names below it too.
    pub below: bool,
    /// Which types.
    pub types: TypeList,
}
