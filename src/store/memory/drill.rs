//! The last drill of each account, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::account::Change;
use crate::base::AccountId;
use crate::drill::{DrillError, DrillStore, Record};

#[async_trait]
impl DrillStore for MemoryStore {
    async fn drills(&self) -> Result<Vec<(AccountId, Record)>, DrillError> {
        let tables = self.tables();
        // What hangs on an account that is gone goes with it.
        let kept = tables.drills.iter().filter(|(account, _)| tables.accounts.contains_key(account));
        let mut drills: Vec<(AccountId, Record)> = kept.map(|(account, record)| (*account, record.clone())).collect();
        drills.sort_by_key(|(account, _)| *account);
        Ok(drills)
    }

    async fn put_drill(
        &self,
        account: AccountId,
        record: Record,
        what: String,
        change: Change,
    ) -> Result<(), DrillError> {
        let mut tables = self.tables();
        if !tables.accounts.contains_key(&account) {
            return Err(DrillError::NoAccount);
        }
        tables.drills.insert(account, record);
        tables.note(&change, Some(account), what);
        Ok(())
    }
}
