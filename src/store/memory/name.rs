//! Names and zones, in memory.

use std::net::SocketAddr;

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};
use crate::dns::amend::scope::{SCOPES_PER_KEY_MAX, StoredScope};
use crate::dns::front::Front;
use crate::dns::store::{
    CHANGES_PER_ZONE_MAX, KEYS_MAX, NameError, NameStore, SECONDARIES_PER_ZONE_MAX, StoredKey, StoredSecondary,
    StoredZone, ZONES_PER_ACCOUNT_MAX, ZoneChange,
};

type Done<T> = Result<T, NameError>;

impl Tables {
    /// What hangs on servers and accounts that are gone goes with them.
    pub(super) fn prune_names(&mut self) {
        self.prune_challenges();
        let there = &self.accounts;
        self.zone_keys.retain(|key| key.account.is_none_or(|account| there.contains_key(&account)));
        let (accounts, endpoints) = (&self.accounts, &self.endpoints);
        self.fronts.retain(|endpoint, _| endpoints.contains_key(endpoint));
        self.tsig_scopes.retain(|_, scope| accounts.contains_key(&scope.account));
        let gone: Vec<DomainName> = (self.zones.iter())
            .filter(|(_, (zone, _))| !accounts.contains_key(&zone.account))
            .map(|(apex, _)| apex.clone())
            .collect();
        for apex in gone {
            self.zones.remove(&apex);
            self.secondaries.retain(|(zone, _), _| *zone != apex);
            self.serials.remove(&apex);
        }
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
        tables.secondaries.retain(|(zone, _), _| *zone != apex);
        tables.serials.remove(&apex);
        tables.zone_keys.retain(|key| key.zone != apex);
        tables.note(&change, Some(account), format!("zone.remove {apex}"));
        Ok(())
    }

    async fn load_serials(&self) -> Done<Vec<(DomainName, u32)>> {
        Ok(self.tables().serials.iter().map(|(zone, serial)| (zone.clone(), *serial)).collect())
    }

    async fn set_serials(&self, serials: Vec<(DomainName, u32)>) -> Done<()> {
        self.tables().serials.extend(serials);
        Ok(())
    }

    async fn load_keys(&self) -> Done<Vec<StoredKey>> {
        Ok(self.tables().tsig_keys.values().cloned().collect())
    }

    async fn add_key(&self, key: StoredKey, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if tables.tsig_keys.contains_key(&key.name) {
            return Err(NameError::KeyTaken(key.name));
        }
        if tables.tsig_keys.len() >= KEYS_MAX {
            return Err(NameError::Enough(KEYS_MAX, "keys"));
        }
        tables.note(&change, None, format!("tsig.new {}", key.name));
        tables.tsig_keys.insert(key.name.clone(), key);
        Ok(())
    }

    async fn load_scopes(&self) -> Done<Vec<StoredScope>> {
        Ok(self.tables().tsig_scopes.values().cloned().collect())
    }

    async fn put_scope(&self, scope: StoredScope, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if !tables.tsig_keys.contains_key(&scope.key) {
            return Err(NameError::NoKey(scope.key));
        }
        if !tables.accounts.contains_key(&scope.account) {
            return Err(NameError::NoAccount);
        }
        let place = (scope.key.clone(), scope.name.clone());
        let count = tables.tsig_scopes.keys().filter(|(key, _)| *key == scope.key).count();
        if count >= SCOPES_PER_KEY_MAX && !tables.tsig_scopes.contains_key(&place) {
            return Err(NameError::Enough(SCOPES_PER_KEY_MAX, "names for this key"));
        }
        tables.note(&change, Some(scope.account), scope.audit_words());
        tables.tsig_scopes.insert(place, scope);
        Ok(())
    }

    async fn remove_scope(&self, key: DomainName, name: DomainName, change: Change) -> Done<()> {
        let mut tables = self.tables();
        match tables.tsig_scopes.remove(&(key.clone(), name.clone())) {
            Some(scope) => {
                tables.note(&change, Some(scope.account), format!("tsig.deny {key} {name}"));
                Ok(())
            }
            None => Err(NameError::NoScope(key, name)),
        }
    }

    async fn remove_key(&self, name: DomainName, change: Change) -> Done<()> {
        let mut tables = self.tables();
        let user = tables.secondaries.iter().find(|(_, key)| key.as_ref() == Some(&name)).map(|((zone, _), _)| zone);
        if let Some(zone) = user {
            return Err(NameError::KeyUsed(name, zone.clone()));
        }
        if tables.tsig_keys.remove(&name).is_none() {
            return Err(NameError::NoKey(name));
        }
        tables.tsig_scopes.retain(|(key, _), _| *key != name);
        tables.note(&change, None, format!("tsig.remove {name}"));
        Ok(())
    }

    async fn load_secondaries(&self) -> Done<Vec<StoredSecondary>> {
        let tables = self.tables();
        let shown = |((zone, address), key): (&(DomainName, SocketAddr), &Option<DomainName>)| StoredSecondary {
            zone: zone.clone(),
            address: *address,
            key: key.clone(),
        };
        Ok(tables.secondaries.iter().map(shown).collect())
    }

    async fn put_secondary(&self, secondary: StoredSecondary, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if let Some(key) = secondary.key.as_ref().filter(|key| !tables.tsig_keys.contains_key(*key)) {
            return Err(NameError::NoKey(key.clone()));
        }
        let place = (secondary.zone.clone(), secondary.address);
        let count = tables.secondaries.keys().filter(|(zone, _)| *zone == secondary.zone).count();
        if count >= SECONDARIES_PER_ZONE_MAX && !tables.secondaries.contains_key(&place) {
            return Err(NameError::Enough(SECONDARIES_PER_ZONE_MAX, "secondaries"));
        }
        let account = tables.zones.get(&secondary.zone).map(|(zone, _)| zone.account);
        tables.note(&change, account, format!("zone.secondary.put {} {}", secondary.zone, secondary.address));
        tables.secondaries.insert(place, secondary.key);
        Ok(())
    }

    async fn remove_secondary(&self, zone: DomainName, address: SocketAddr, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if tables.secondaries.remove(&(zone.clone(), address)).is_none() {
            return Err(NameError::NoSecondary(zone, address));
        }
        let account = tables.zones.get(&zone).map(|(zone, _)| zone.account);
        tables.note(&change, account, format!("zone.secondary.remove {zone} {address}"));
        Ok(())
    }

    async fn zone_changes(&self, apex: DomainName, limit: u32) -> Done<Vec<ZoneChange>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let tables = self.tables();
        let changes = tables.zones.get(&apex).map(|(_, changes)| changes.iter().take(limit).cloned().collect());
        Ok(changes.unwrap_or_default())
    }
}
