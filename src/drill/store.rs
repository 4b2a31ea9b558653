//! What is asked of a storage engine for drills.

use async_trait::async_trait;

use super::record::Record;
use crate::account::Change;
use crate::base::AccountId;

/// The store failed; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// No such account.
    #[error("there is no such account")]
    NoAccount,
    /// The engine.
    #[error("the last drill cannot be read or written: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps the last drill of each account, as long as the account.
#[async_trait]
pub trait DrillStore: Send + Sync {
    /// All, one for each account that had one.
    async fn drills(&self) -> Result<Vec<(AccountId, Record)>, DrillError>;
    /// Replaces the account's last drill, with an audit row that says `what`, in one step.
    async fn put_drill(
        &self,
        account: AccountId,
        record: Record,
        what: String,
        change: Change,
    ) -> Result<(), DrillError>;
}
