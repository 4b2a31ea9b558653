//! Recipients that were refused at the door.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::job::Terms;
use super::row::{self, parsed, readable};
use crate::base::{AccountId, WallTime};
use crate::smtp::refusals::{RefusalStore, Refused};
use crate::spool::SpoolError;

fn note(db: &Connection, refused: &Refused) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO refused_recipient (at, account, peer, helo, reverse_path, mailbox, code, reply)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        row::stored_time(refused.at),
        refused.account.map(|account| account.0),
        refused.peer.to_string(),
        refused.helo,
        refused.reverse_path,
        refused.recipient,
        refused.code,
        refused.text
    ])
    .map(drop)
}

fn refused(row: &Row<'_>) -> rusqlite::Result<Refused> {
    Ok(Refused {
        at: row::time(row.get(0)?),
        account: row.get::<_, Option<i64>>(1)?.map(AccountId),
        peer: parsed(row, 2, str::parse)?,
        helo: row.get(3)?,
        reverse_path: row.get(4)?,
        recipient: row.get(5)?,
        code: row.get(6)?,
        text: row.get(7)?,
    })
}

#[async_trait]
impl RefusalStore for SqliteStore {
    async fn note_refusals(&self, refused: Vec<Refused>) -> Result<(), SpoolError> {
        self.write(Terms::LAZY, move |work| {
            for one in &refused {
                note(work.connection, one)?;
            }
            Ok(())
        })
        .await
    }

    async fn refusals(&self, address: &str, limit: u32) -> Result<Vec<Refused>, SpoolError> {
        let address = address.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT at, account, peer, helo, reverse_path, mailbox, code, reply FROM refused_recipient
                 WHERE mailbox = ?1 OR reverse_path = ?1 ORDER BY at DESC, id DESC LIMIT ?2",
            )?;
            Ok(readable("refused_recipient", statement.query_map(params![address, limit], refused)?)?)
        })
        .await
    }

    async fn forget_refusals(&self, before: WallTime) -> Result<u64, SpoolError> {
        self.write(Terms::LAZY, move |work| {
            let removed = work
                .connection
                .prepare_cached("DELETE FROM refused_recipient WHERE at < ?1")?
                .execute([row::stored_time(before)])?;
            Ok(u64::try_from(removed).unwrap_or(u64::MAX))
        })
        .await
    }
}
