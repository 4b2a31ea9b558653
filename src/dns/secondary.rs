//! Who may follow a zone: closed to all but the servers that the operator named.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::owner::Owner;
use super::store::{NameError, NameStore, StoredSecondary};
use super::tsig::{KeyRing, Signed};
use crate::account::{SealError, SealKey};
use crate::base::DomainName;

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
