//! Names and zones, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};
use crate::dns::front::Front;
use crate::dns::store::{CHANGES_PER_ZONE_MAX, NameError, NameStore, StoredZone, ZONES_PER_ACCOUNT_MAX, ZoneChange};

type Done<T> = Result<T, NameError>;

impl Tables {
    /// What hangs on servers and accounts that are gone goes with them.
    pub(super) fn prune_names(&mut self) {
        let (accounts, endpoints) = (&self.accounts, &self.endpoints);
        self.fronts.retain(|endpoint, _| endpoints.contains_key(endpoint));
        self.zones.retain(|_, (zone, _)| accounts.contains_key(&zone.account));
    }
}

#[async_trait]
impl NameStore for MemoryStore {
    async fn load_fronts(&self) -> Done<Vec<(EndpointId, Front)>> {
        Ok(self.tables().fronts.iter().map(|(endpoint, front)| (*endpoint, *front)).collect())
    }

    async fn set_fronts(&self, fronts: Vec<(EndpointId, Front)>) -> Done<()> {
        let mut tables = self.tables();
        for (endpoint, front) in fronts {
            if front.is_parked() || !tables.endpoints.contains_key(&endpoint) {
                tables.fronts.remove(&endpoint);
            } else {
                tables.fronts.insert(endpoint, front);
            }
        }
        Ok(())
    }

    async fn load_zones(&self) -> Done<Vec<StoredZone>> {
        Ok(self.tables().zones.values().map(|(zone, _)| zone.clone()).collect())
    }

    async fn put_zone(&self, zone: StoredZone, change: ZoneChange) -> Done<()> {
        let mut tables = self.tables();
        if !tables.accounts.contains_key(&zone.account) {
            return Err(NameError::NoAccount);
        }
        let count = tables.zones.values().filter(|(known, _)| known.account == zone.account).count();
        let mut changes = match tables.zones.get(&zone.apex) {
            Some((known, _)) if known.account != zone.account => return Err(NameError::ZoneTaken(zone.apex)),
            Some((_, changes)) => changes.clone(),
            None if count >= ZONES_PER_ACCOUNT_MAX => return Err(NameError::Full(ZONES_PER_ACCOUNT_MAX)),
            None => Vec::new(),
        };
        let by = Change { at: change.at, who: change.who.clone() };
        tables.note(&by, Some(zone.account), format!("zone.put {} serial {}", zone.apex, zone.serial));
        changes.insert(0, change);
        changes.truncate(CHANGES_PER_ZONE_MAX);
        tables.zones.insert(zone.apex.clone(), (zone, changes));
        Ok(())
    }

    async fn remove_zone(&self, account: AccountId, apex: DomainName, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if tables.zones.get(&apex).is_none_or(|(zone, _)| zone.account != account) {
            return Err(NameError::NoZone(apex));
        }
        tables.zones.remove(&apex);
        tables.note(&change, Some(account), format!("zone.remove {apex}"));
        Ok(())
    }

    async fn zone_changes(&self, apex: DomainName, limit: u32) -> Done<Vec<ZoneChange>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let tables = self.tables();
        let changes = tables.zones.get(&apex).map(|(_, changes)| changes.iter().take(limit).cloned().collect());
        Ok(changes.unwrap_or_default())
    }
}
