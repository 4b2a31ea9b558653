//! What the recipient room asks of a storage engine.

use async_trait::async_trait;

use super::list::NewList;
use super::model::{CallOut, ENTRIES_PER_ACCOUNT_MAX, Learned, ListEntry, Policy};
use crate::account::Change;
use crate::base::{AccountId, DomainName, WallTime};

/// Why something about recipients was not stored. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    /// No such account.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// Too many entries for one account.
    #[error("an account has {ENTRIES_PER_ACCOUNT_MAX} listed recipients at most")]
    Full,
    /// The engine failed.
    #[error("the store of recipients failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is kept of a domain beside its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainRow {
    /// Whose.
    pub account: AccountId,
    /// The domain.
    pub domain: DomainName,
    /// What the customer settled.
    pub policy: Policy,
    /// When the list was uploaded; absent without one.
    pub list_at: Option<WallTime>,
    /// Key of its hashes.
    pub hash_key: Option<Vec<u8>>,
    /// What its server said of an address that nobody has.
    pub call_out: Option<CallOut>,
}

/// All that is kept of recipients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecipientRows {
    /// By account and domain, entries in their order.
    pub domains: Vec<(DomainRow, Vec<ListEntry>)>,
    /// By account, domain and name; what has run out is left out.
    pub learned: Vec<Learned>,
}

/// Lists, settings and what servers said. Rows go with their account; those of a domain go when it is no longer served.
#[async_trait]
pub trait RecipientStore: Send + Sync {
    /// Reads everything.
    async fn load_recipients(&self, now: WallTime) -> Result<RecipientRows, RecipientError>;
    /// Takes a list in place of the one before.
    async fn replace_list(
        &self,
        account: AccountId,
        domain: DomainName,
        list: NewList,
        change: Change,
    ) -> Result<(), RecipientError>;
    /// Forgets the list of a domain; its settings stay.
    async fn forget_list(&self, account: AccountId, domain: DomainName, change: Change) -> Result<(), RecipientError>;
    /// Keeps what the customer settled.
    async fn set_recipient_policy(
        &self,
        account: AccountId,
        domain: DomainName,
        policy: Policy,
        change: Change,
    ) -> Result<(), RecipientError>;
    /// Keeps what servers said, in place of what they said before of the same name. Not synced at once: a lost row is learned
    /// again. Those of accounts that are gone or have too many are left out.
    async fn learn(&self, learned: Vec<Learned>) -> Result<(), RecipientError>;
    /// Keeps what the server of a domain said of an address that nobody has. Not synced at once: it is asked again.
    async fn set_call_out(&self, account: AccountId, domain: DomainName, said: CallOut) -> Result<(), RecipientError>;
    /// Removes what is no longer believed. Returns how many rows.
    async fn purge_learned(&self, now: WallTime) -> Result<u64, RecipientError>;
    /// Entries of a list behind `after`, in order, at most `limit`.
    async fn list_entries(
        &self,
        account: AccountId,
        domain: DomainName,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<ListEntry>, RecipientError>;
}
