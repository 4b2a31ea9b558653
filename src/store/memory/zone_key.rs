//! The keys of zones, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::account::Change;
use crate::base::DomainName;
use crate::dns::sign::store::{StoredZoneKey, ZoneKeyStore};
use crate::dns::store::NameError;

#[async_trait]
impl ZoneKeyStore for MemoryStore {
    async fn load_zone_keys(&self) -> Result<Vec<StoredZoneKey>, NameError> {
        let mut all = self.tables().zone_keys.clone();
        all.sort_by(|a, b| (&a.zone, a.tag).cmp(&(&b.zone, b.tag)));
        Ok(all)
    }

    async fn put_zone_keys(
        &self,
        zone: DomainName,
        keys: Vec<StoredZoneKey>,
        what: String,
        change: Change,
    ) -> Result<(), NameError> {
        let mut tables = self.tables();
        tables.note(&change, keys.first().and_then(|key| key.account), what);
        tables.zone_keys.retain(|key| key.zone != zone);
        tables.zone_keys.extend(keys);
        Ok(())
    }
}
