//! Keys of ACME clients and what they put at names, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::Change;
use crate::base::{AccountId, WallTime};
use crate::dns::challenge::VALUES_MAX;
use crate::dns::challenge::key::{ChallengeKey, KEYS_PER_ACCOUNT_MAX};
use crate::dns::challenge::store::{ChallengeStore, StoredValue};
use crate::dns::store::NameError;

type Done<T> = Result<T, NameError>;

impl Tables {
    /// Keys go with their account, values with their key.
    pub(super) fn prune_challenges(&mut self) {
        let accounts = &self.accounts;
        self.challenge_keys.retain(|key| accounts.contains_key(&key.account));
        let keys = &self.challenge_keys;
        self.challenge_values.retain(|value| keys.iter().any(|key| key.id == value.key));
    }
}

#[async_trait]
impl ChallengeStore for MemoryStore {
    async fn load_challenge_keys(&self) -> Done<Vec<ChallengeKey>> {
        let mut all = self.tables().challenge_keys.clone();
        all.sort_by(|a, b| (a.account, &a.name, &a.id).cmp(&(b.account, &b.name, &b.id)));
        Ok(all)
    }

    async fn add_challenge_key(&self, key: ChallengeKey, change: Change) -> Done<()> {
        let mut tables = self.tables();
        if !tables.accounts.contains_key(&key.account) {
            return Err(NameError::NoAccount);
        }
        if tables.challenge_keys.iter().filter(|known| known.account == key.account).count() >= KEYS_PER_ACCOUNT_MAX {
            return Err(NameError::Enough(KEYS_PER_ACCOUNT_MAX, "keys of ACME clients for this account"));
        }
        tables.note(&change, Some(key.account), key.audit_words());
        tables.challenge_keys.push(key);
        Ok(())
    }

    async fn remove_challenge_key(&self, account: AccountId, id: String, change: Change) -> Done<()> {
        let mut tables = self.tables();
        let before = tables.challenge_keys.len();
        tables.challenge_keys.retain(|key| key.account != account || key.id != id);
        if tables.challenge_keys.len() == before {
            return Err(NameError::NoChallengeKey(id));
        }
        tables.prune_challenges();
        tables.note(&change, Some(account), format!("challenge.remove {id}"));
        Ok(())
    }

    async fn load_challenge_values(&self) -> Done<Vec<StoredValue>> {
        let mut all = self.tables().challenge_values.clone();
        all.sort_by(|a, b| (a.at, &a.key, &a.value).cmp(&(b.at, &b.key, &b.value)));
        Ok(all)
    }

    async fn put_challenge_value(&self, value: StoredValue, oldest: WallTime) -> Done<()> {
        let mut tables = self.tables();
        if !tables.challenge_keys.iter().any(|key| key.id == value.key) {
            return Ok(());
        }
        let key = value.key.clone();
        tables.challenge_values.retain(|known| known.at > oldest && (known.key != key || known.value != value.value));
        tables.challenge_values.push(value);
        let mut own: Vec<StoredValue> =
            tables.challenge_values.iter().filter(|known| known.key == key).cloned().collect();
        own.sort_by(|a, b| (b.at, &b.value).cmp(&(a.at, &a.value)));
        own.truncate(VALUES_MAX);
        tables.challenge_values.retain(|known| known.key != key || own.contains(known));
        Ok(())
    }
}
