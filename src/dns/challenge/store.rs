//! What is kept of ACME clients: their keys, and what they put at names.

use async_trait::async_trait;

use super::key::ChallengeKey;
use crate::account::Change;
use crate::base::{AccountId, WallTime};
use crate::dns::store::NameError;

/// A value at the name of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoredValue {
    /// Of which key.
    pub key: String,
    /// The value.
    pub value: String,
    /// When it was put there.
    pub at: WallTime,
}

/// Keys and values. Changes by a person carry their audit row in the same transaction.
#[async_trait]
pub trait ChallengeStore: Send + Sync {
    /// All keys, by account and name.
    async fn load_challenge_keys(&self) -> Result<Vec<ChallengeKey>, NameError>;
    /// Keeps a new key; [`NameError::Enough`] beyond
    /// [`KEYS_PER_ACCOUNT_MAX`](super::key::KEYS_PER_ACCOUNT_MAX).
    async fn add_challenge_key(&self, key: ChallengeKey, change: Change) -> Result<(), NameError>;
    /// Forgets a key with its values.
    async fn remove_challenge_key(&self, account: AccountId, id: String, change: Change) -> Result<(), NameError>;
    /// All values, oldest first.
    async fn load_challenge_values(&self) -> Result<Vec<StoredValue>, NameError>;
    /// Keeps a value; of more than [`VALUES_MAX`](super::VALUES_MAX) of a key the oldest go, and so do those of any key
    /// from before `oldest`. Not synced at once: a lost one costs a client one more try. A key that is gone keeps nothing.
    async fn put_challenge_value(&self, value: StoredValue, oldest: WallTime) -> Result<(), NameError>;
}
