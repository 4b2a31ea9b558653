//! What the checks of senders came to, beside their messages.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::job::Terms;
use super::row::{self, keep_readable, parsed, readable};
use crate::base::{AccountId, ReversePath, SpoolId, WallTime};
use crate::spool::SpoolError;
use crate::verdict::{Subject, Verdict, VerdictStore};

/// Messages that are looked through for those without a verdict, for each one asked for.
const LOOKED_AT_PER_ASKED: u32 = 4;

fn save(db: &Connection, id: SpoolId, findings: &str, at: WallTime) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached(
            "INSERT INTO verdict (message, at, findings) SELECT id, ?2, ?3 FROM message WHERE id = ?1
             ON CONFLICT (message) DO UPDATE SET at = excluded.at, findings = excluded.findings",
        )?
        .execute(params![id.as_i64(), row::stored_time(at), findings])?;
    Ok(changed > 0)
}

pub(super) fn verdict(db: &Connection, id: SpoolId) -> rusqlite::Result<Option<Verdict>> {
    let row = db
        .prepare_cached("SELECT findings FROM verdict WHERE message = ?1")?
        .query_row([id.as_i64()], |row| parsed(row, 0, |text| serde_json::from_str(text)))
        .optional();
    Ok(keep_readable("verdict", row)?.flatten())
}

fn subject(row: &Row<'_>) -> rusqlite::Result<Subject> {
    Ok(Subject {
        id: SpoolId::from_i64(row.get(0)?),
        peer: parsed(row, 1, str::parse)?,
        helo: row.get(2)?,
        reverse_path: parsed(row, 3, |text| ReversePath::parse(text, true))?,
        chunks: row.get(4)?,
        accounts: parsed(row, 5, accounts)?,
    })
}

fn accounts(list: &str) -> Result<Vec<AccountId>, std::num::ParseIntError> {
    let mut accounts: Vec<AccountId> =
        list.split(',').map(|id| Ok(AccountId(id.parse()?))).collect::<Result<_, _>>()?;
    accounts.sort_unstable();
    Ok(accounts)
}

/// Reads the youngest messages only, so that a start with a full spool waits for nothing.
fn unchecked(db: &Connection, since: WallTime, limit: u32) -> rusqlite::Result<Vec<Subject>> {
    let mut statement = db.prepare_cached(
        "SELECT id, peer, helo, reverse_path, chunks,
                (SELECT group_concat(DISTINCT account) FROM recipient WHERE message = m.id)
         FROM (SELECT * FROM message WHERE delivered_at IS NULL ORDER BY id DESC LIMIT ?3) AS m
         WHERE accepted_at >= ?1 AND NOT EXISTS (SELECT 1 FROM verdict WHERE message = m.id)
         ORDER BY id DESC LIMIT ?2",
    )?;
    let looked_at = limit.saturating_mul(LOOKED_AT_PER_ASKED);
    readable("message", statement.query_map(params![row::stored_time(since), limit, looked_at], subject)?)
}

#[async_trait]
impl VerdictStore for SqliteStore {
    async fn save_verdict(&self, id: SpoolId, verdict: Verdict, at: WallTime) -> Result<bool, SpoolError> {
        let findings = serde_json::to_string(&verdict).map_err(|error| SpoolError::Engine(Box::new(error)))?;
        self.write(Terms::LAZY, move |work| Ok(save(work.connection, id, &findings, at)?)).await
    }

    async fn verdict(&self, id: SpoolId) -> Result<Option<Verdict>, SpoolError> {
        self.read(move |db| Ok(verdict(db, id)?)).await
    }

    async fn unchecked(&self, accepted_since: WallTime, limit: u32) -> Result<Vec<Subject>, SpoolError> {
        self.read(move |db| Ok(unchecked(db, accepted_since, limit)?)).await
    }
}
