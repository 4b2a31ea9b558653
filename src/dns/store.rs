//! What the room asks of a storage engine: where names pointed, and the zones of customers.

use std::net::SocketAddr;

use async_trait::async_trait;

use super::amend::scope::StoredScope;
use super::front::Front;
use super::zone::ZoneRecord;
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId, WallTime};

/// Records of one zone, at most.
pub const RECORDS_PER_ZONE_MAX: usize = 10_000;
/// Zones of one account, at most.
pub const ZONES_PER_ACCOUNT_MAX: usize = 100;
/// Shared keys, at most.
pub const KEYS_MAX: usize = 10_000;
/// Servers that follow one zone, at most.
pub const SECONDARIES_PER_ZONE_MAX: usize = 20;
/// Changes of one zone that are kept; the oldest go first.
pub const CHANGES_PER_ZONE_MAX: usize = 200;

/// A zone of a customer, as he wrote it. Its SOA record is one of the records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredZone {
    /// Its name. Unique over all accounts.
    pub apex: DomainName,
    /// Whose.
    pub account: AccountId,
    /// As its SOA record.
    pub serial: u32,
    /// All of them, its SOA record included.
    pub records: Vec<ZoneRecord>,
}

/// One change of a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneChange {
    /// When.
    pub at: WallTime,
    /// Who.
    pub who: String,
    /// In the words of whoever did it; empty if he said nothing.
    pub why: String,
    /// The serial that it led to.
    pub serial: u32,
    /// Lines of a zone file, each with `+` or `-` in front, cut after some.
    pub what: String,
}

/// A shared key, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredKey {
    /// Its name, which both sides have to give it.
    pub name: DomainName,
    /// Sealed with the key beside the database.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created_at: WallTime,
}

/// A server that follows a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredSecondary {
    /// Which.
    pub zone: DomainName,
    /// Where it is told of changes.
    pub address: SocketAddr,
    /// What it signs with.
    pub key: Option<DomainName>,
}

/// Why a change did not happen. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// No such account.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// No such zone in this account.
    #[error("this account has no zone '{0}'; see `pulsemx zone list`")]
    NoZone(DomainName),
    /// It is somebody else's.
    #[error("'{0}' is the zone of another account")]
    ZoneTaken(DomainName),
    /// The account has enough.
    #[error("this account has {0} zones already; remove one first")]
    Full(usize),
    /// There is one of that name.
    #[error("there is a key '{0}' already; remove it first")]
    KeyTaken(DomainName),
    /// No such key.
    #[error("there is no key '{0}'; see `pulsemx tsig list`")]
    NoKey(DomainName),
    /// A secondary signs with it.
    #[error("a secondary of '{1}' uses the key '{0}'; see `pulsemx zone secondary list`")]
    KeyUsed(DomainName, DomainName),
    /// No such key of an ACME client.
    #[error("this account has no challenge key '{0}'; see `pulsemx challenge list`")]
    NoChallengeKey(String),
    /// No such scope.
    #[error("the key '{0}' may not change '{1}'; see `pulsemx tsig list`")]
    NoScope(DomainName, DomainName),
    /// There are enough.
    #[error("there are {0} {1} already; remove one first")]
    Enough(usize, &'static str),
    /// No such secondary.
    #[error("'{0}' has no secondary {1}; see `pulsemx zone secondary list`")]
    NoSecondary(DomainName, SocketAddr),
    /// The engine failed.
    #[error("the store of names failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where names point and what stands in zones. Changes by a person carry their audit row in the same transaction.
#[async_trait]
pub trait NameStore: Send + Sync {
    /// What the names of mail servers pointed at when it was last told; those that are parked are left out.
    async fn load_fronts(&self) -> Result<Vec<(EndpointId, Front)>, NameError>;
    /// Keeps what names point at. Not synced at once: a power cut may park a name until its server greets again, or
    /// leave it pointing where it pointed some milliseconds before. Servers that are gone are left out.
    async fn set_fronts(&self, fronts: Vec<(EndpointId, Front)>) -> Result<(), NameError>;
    /// Every zone. One with a record that cannot be read is left out and logged.
    async fn load_zones(&self) -> Result<Vec<StoredZone>, NameError>;
    /// The zones of one account, by name.
    async fn zones_of(&self, account: AccountId) -> Result<Vec<StoredZone>, NameError> {
        Ok(self.load_zones().await?.into_iter().filter(|zone| zone.account == account).collect())
    }
    /// One zone; absent if there is none of that name.
    async fn zone(&self, apex: DomainName) -> Result<Option<StoredZone>, NameError> {
        Ok(self.load_zones().await?.into_iter().find(|zone| zone.apex == apex))
    }
    /// Keeps a zone in place of the one of that name, and notes the change; durable when it returns.
    async fn put_zone(&self, zone: StoredZone, change: ZoneChange) -> Result<(), NameError>;
    /// Forgets a zone and its changes.
    async fn remove_zone(&self, account: AccountId, apex: DomainName, change: Change) -> Result<(), NameError>;
    /// The serials that followed zones showed when they were last told.
    async fn load_serials(&self) -> Result<Vec<(DomainName, u32)>, NameError>;
    /// Keeps the serials that followed zones show. Not synced at once.
    async fn set_serials(&self, serials: Vec<(DomainName, u32)>) -> Result<(), NameError>;
    /// All shared keys, by name.
    async fn load_keys(&self) -> Result<Vec<StoredKey>, NameError>;
    /// Keeps a new key.
    async fn add_key(&self, key: StoredKey, change: Change) -> Result<(), NameError>;
    /// What keys may change, by key and name. A scope goes with its key and with its account.
    async fn load_scopes(&self) -> Result<Vec<StoredScope>, NameError>;
    /// Keeps what a key may change of a name, in place of what it might before.
    async fn put_scope(&self, scope: StoredScope, change: Change) -> Result<(), NameError>;
    /// Forgets what a key may change of a name.
    async fn remove_scope(&self, key: DomainName, name: DomainName, change: Change) -> Result<(), NameError>;
    /// Forgets a key that no secondary uses, with what it may change.
    async fn remove_key(&self, name: DomainName, change: Change) -> Result<(), NameError>;
    /// All servers that follow a zone, by zone and address. They go with their zone.
    async fn load_secondaries(&self) -> Result<Vec<StoredSecondary>, NameError>;
    /// Keeps a secondary, or gives it another key.
    async fn put_secondary(&self, secondary: StoredSecondary, change: Change) -> Result<(), NameError>;
    /// Forgets a secondary.
    async fn remove_secondary(&self, zone: DomainName, address: SocketAddr, change: Change) -> Result<(), NameError>;
    /// The newest changes of a zone, newest first.
    async fn zone_changes(&self, apex: DomainName, limit: u32) -> Result<Vec<ZoneChange>, NameError>;
}
