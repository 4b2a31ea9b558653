//! Who may follow a zone: closed to all but the servers that the operator named.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::amend::scope::StoredScope;
use super::owner::Owner;
use super::store::{NameError, NameStore, StoredSecondary};
use super::tsig::{KeyRing, Signed};
use crate::account::{SealError, SealKey};
use crate::base::{AccountId, DomainName};

/// A server that follows a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secondary {
    /// Where it is told of changes.
    pub address: SocketAddr,
    /// What it signs with; without one it is known by its address.
    pub key: Option<DomainName>,
}

/// See the file.
#[derive(Default, Debug)]
pub struct Access {
    keys: KeyRing,
    secondaries: BTreeMap<Owner, Vec<Secondary>>,
    /// What each key may change, by its name.
    scopes: BTreeMap<Owner, Vec<StoredScope>>,
}

/// Seals the secret of a key for the store.
///
/// # Errors
/// [`SealError`]
pub fn seal_secret(seal: &SealKey, name: &DomainName, secret: &[u8]) -> Result<Vec<u8>, SealError> {
    seal.seal(secret, &context(name))
}

/// A secret opens for its own name and its own kind only.
fn context(name: &DomainName) -> Vec<u8> {
    [b"tsig ", name.as_str().as_bytes()].concat()
}

impl Access {
    /// What is stored. A key that does not open is left out and logged: its secondaries are refused.
    ///
    /// # Errors
    /// [`NameError`] of the store.
    pub async fn load(store: &dyn NameStore, seal: &SealKey) -> Result<Self, NameError> {
        let mut access = Self::default();
        for key in store.load_keys().await? {
            match seal.open(&key.sealed_secret, &context(&key.name)) {
                Ok(secret) => access.add_key(&key.name, &secret),
                Err(error) => tracing::error!(key = %key.name, %error, "a TSIG key is not used"),
            }
        }
        for secondary in store.load_secondaries().await? {
            access.add(&secondary);
        }
        for scope in store.load_scopes().await? {
            access.add_scope(scope);
        }
        Ok(access)
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// A key from now on.
    pub fn add_key(&mut self, name: &DomainName, secret: &[u8]) {
        if let Err(error) = self.keys.insert(name, secret) {
            tracing::error!(key = %name, %error, "a TSIG key is not used");
        }
    }

    /// A key no more.
    pub fn remove_key(&mut self, name: &DomainName) {
        self.keys.remove(name);
        self.scopes.remove(&Owner::of_domain(name));
    }

    /// A key may change these from now on.
    pub fn add_scope(&mut self, scope: StoredScope) {
        let all = self.scopes.entry(Owner::of_domain(&scope.key)).or_default();
        all.retain(|known| known.name != scope.name);
        all.push(scope);
    }

    /// A key may not change these any more.
    pub fn remove_scope(&mut self, key: &DomainName, name: &DomainName) {
        if let Some(all) = self.scopes.get_mut(&Owner::of_domain(key)) {
            all.retain(|known| known.name != *name);
        }
    }

    /// What a key may change.
    #[must_use]
    pub fn scopes(&self, key: &Owner) -> &[StoredScope] {
        self.scopes.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a key may change something of an account that is not among those that `is_there` knows.
    pub fn has_orphans(&self, is_there: impl Fn(AccountId) -> bool) -> bool {
        self.scopes.values().flatten().any(|scope| !is_there(scope.account))
    }

    /// Accounts are gone: keys may change nothing of theirs.
    pub fn forget_orphans(&mut self, is_there: impl Fn(AccountId) -> bool) {
        self.scopes.values_mut().for_each(|all| all.retain(|scope| is_there(scope.account)));
    }

    /// A secondary from now on, or with another key.
    pub fn add(&mut self, stored: &StoredSecondary) {
        let all = self.secondaries.entry(Owner::of_domain(&stored.zone)).or_default();
        all.retain(|known| known.address != stored.address);
        all.push(Secondary { address: stored.address, key: stored.key.clone() });
    }

    /// A secondary no more.
    pub fn remove(&mut self, zone: &DomainName, address: SocketAddr) {
        if let Some(all) = self.secondaries.get_mut(&Owner::of_domain(zone)) {
            all.retain(|known| known.address != address);
        }
        self.secondaries.retain(|_, all| !all.is_empty());
    }

    /// All secondaries of a zone no more.
    pub fn forget_zone(&mut self, apex: &Owner) {
        self.secondaries.remove(apex);
    }

    /// Every zone that is followed, with those who follow it.
    pub fn followed(&self) -> impl Iterator<Item = (&Owner, &[Secondary])> {
        self.secondaries.iter().map(|(apex, all)| (apex, all.as_slice()))
    }

    /// Whether an asker may have a zone. A key counts from any address: it is the proof. Where a secondary has a key, its
    /// address alone is none.
    #[must_use]
    pub fn may_follow(&self, apex: &Owner, peer: IpAddr, signed: Option<&Signed>) -> bool {
        let all = self.secondaries.get(apex).map_or(&[][..], Vec::as_slice);
        all.iter().any(|secondary| match (&secondary.key, signed) {
            (Some(key), Some(signed)) => Owner::of_domain(key) == *signed.key(),
            (None, None) => secondary.address.ip().to_canonical() == peer.to_canonical(),
            (Some(_), None) | (None, Some(_)) => false,
        })
    }
}
