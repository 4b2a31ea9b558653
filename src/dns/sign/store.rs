//! What is kept of the keys of zones.

use async_trait::async_trait;

use super::KeyState;
use crate::account::Change;
use crate::base::{AccountId, DomainName, WallTime};
use crate::dns::store::NameError;

/// A key of a zone, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredZoneKey {
    /// Which zone.
    pub zone: DomainName,
    /// Short for the key.
    pub tag: u16,
    /// Whose zone; nobody's for that of the dynamic names.
    pub account: Option<AccountId>,
    /// Sealed with the key beside the database.
    pub sealed_key: Vec<u8>,
    /// Where it stands.
    pub state: KeyState,
    /// Since when.
    pub since: WallTime,
}

/// Keys of zones. They go with their zone and their account.
#[async_trait]
pub trait ZoneKeyStore: Send + Sync {
    /// All keys, by zone and tag.
    async fn load_zone_keys(&self) -> Result<Vec<StoredZoneKey>, NameError>;
    /// Keeps these keys of a zone in place of those before; durable when it returns.
    async fn put_zone_keys(
        &self,
        zone: DomainName,
        keys: Vec<StoredZoneKey>,
        what: String,
        change: Change,
    ) -> Result<(), NameError>;
}
