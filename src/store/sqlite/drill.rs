//! The last drill of each account.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::account::audit;
use super::error::WriteFailure;
use super::job::Terms;
use super::row::{parsed, readable};
use crate::account::Change;
use crate::base::AccountId;
use crate::drill::{DrillError, DrillStore, Record};

impl From<rusqlite::Error> for DrillError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<WriteFailure> for DrillError {
    fn from(failure: WriteFailure) -> Self {
        Self::Engine(Box::new(failure))
    }
}

#[async_trait]
impl DrillStore for SqliteStore {
    async fn drills(&self) -> Result<Vec<(AccountId, Record)>, DrillError> {
        self.read(|db| {
            let mut rows = db.prepare_cached("SELECT account, record FROM drill ORDER BY account")?;
            let drill = |row: &rusqlite::Row<'_>| {
                Ok((AccountId(row.get(0)?), parsed(row, 1, |text| serde_json::from_str(text))?))
            };
            Ok(readable("drill", rows.query_map([], drill)?)?)
        })
        .await
    }

    async fn put_drill(
        &self,
        account: AccountId,
        record: Record,
        what: String,
        change: Change,
    ) -> Result<(), DrillError> {
        let text = serde_json::to_string(&record).map_err(|error| DrillError::Engine(Box::new(error)))?;
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            db.query_row("SELECT 1 FROM account WHERE id = ?1", [account.0], |_| Ok(()))
                .optional()?
                .ok_or(DrillError::NoAccount)?;
            db.prepare_cached(
                "INSERT INTO drill (account, record) VALUES (?1, ?2)
                 ON CONFLICT (account) DO UPDATE SET record = excluded.record",
            )?
            .execute(params![account.0, text])?;
            audit(db, &change, Some(account), &what)?;
            Ok(())
        })
        .await
    }
}
