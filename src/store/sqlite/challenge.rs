//! The SQL of ACME clients: their keys and what they put at names.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::job::Terms;
use super::name::Done;
use super::row::{self, odd, parsed, readable};
use crate::account::Change;
use crate::base::{AccountId, DomainName, WallTime};
use crate::dns::challenge::VALUES_MAX;
use crate::dns::challenge::key::{ChallengeKey, KEYS_PER_ACCOUNT_MAX, networks_from_stored};
use crate::dns::challenge::store::{ChallengeStore, StoredValue};
use crate::dns::store::NameError;

fn key(row: &Row<'_>) -> rusqlite::Result<ChallengeKey> {
    let verifier: Vec<u8> = row.get(4)?;
    Ok(ChallengeKey {
        id: row.get(0)?,
        account: AccountId(row.get(1)?),
        name: parsed(row, 2, DomainName::parse)?,
        user: row.get(3)?,
        verifier: verifier.try_into().map_err(|_| odd(4, "not 32 octets"))?,
        networks: parsed(row, 5, networks_from_stored)?,
        created_at: row::time(row.get(6)?),
    })
}

fn add_key(db: &Connection, key: &ChallengeKey, change: &Change) -> Done<()> {
    let account = key.account;
    let is_known: bool =
        db.query_row("SELECT count(*) > 0 FROM account WHERE id = ?1", [account.0], |row| row.get(0))?;
    if !is_known {
        return Err(NameError::NoAccount);
    }
    let count: u32 =
        db.query_row("SELECT count(*) FROM challenge_key WHERE account = ?1", [account.0], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= KEYS_PER_ACCOUNT_MAX {
        return Err(NameError::Enough(KEYS_PER_ACCOUNT_MAX, "keys of ACME clients for this account"));
    }
    db.execute(
        "INSERT INTO challenge_key (id, account, name, user, verifier, networks, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            key.id,
            account.0,
            key.name.as_str(),
            key.user,
            key.verifier,
            key.stored_networks(),
            row::stored_time(key.created_at)
        ],
    )?;
    Ok(audit(db, change, Some(account), &key.audit_words())?)
}

fn put_value(db: &Connection, value: &StoredValue, oldest: WallTime) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO challenge_value (id, value, at) SELECT id, ?2, ?3 FROM challenge_key WHERE id = ?1",
    )?
    .execute(params![value.key, value.value, row::stored_time(value.at)])?;
    db.prepare_cached("DELETE FROM challenge_value WHERE at <= ?1")?.execute([row::stored_time(oldest)])?;
    db.prepare_cached(
        "DELETE FROM challenge_value WHERE id = ?1 AND value NOT IN
             (SELECT value FROM challenge_value WHERE id = ?1 ORDER BY at DESC, value DESC LIMIT ?2)",
    )?
    .execute(params![value.key, i64::try_from(VALUES_MAX).unwrap_or(i64::MAX)])
    .map(drop)
}

#[async_trait]
impl ChallengeStore for SqliteStore {
    async fn load_challenge_keys(&self) -> Done<Vec<ChallengeKey>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, account, name, user, verifier, networks, created_at FROM challenge_key
                 ORDER BY account, name, id",
            )?;
            let rows = statement.query_map([], key)?;
            Ok(readable("challenge_key", rows)?)
        })
        .await
    }

    async fn add_challenge_key(&self, key: ChallengeKey, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| add_key(work.connection, &key, &change)).await
    }

    async fn remove_challenge_key(&self, account: AccountId, id: String, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let removed =
                db.execute("DELETE FROM challenge_key WHERE id = ?1 AND account = ?2", params![id, account.0])?;
            if removed == 0 {
                return Err(NameError::NoChallengeKey(id));
            }
            Ok(audit(db, &change, Some(account), &format!("challenge.remove {id}"))?)
        })
        .await
    }

    async fn load_challenge_values(&self) -> Done<Vec<StoredValue>> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT id, value, at FROM challenge_value ORDER BY at, id, value")?;
            let rows = statement.query_map([], |row| {
                Ok(StoredValue { key: row.get(0)?, value: row.get(1)?, at: row::time(row.get(2)?) })
            })?;
            Ok(readable("challenge_value", rows)?)
        })
        .await
    }

    async fn put_challenge_value(&self, value: StoredValue, oldest: WallTime) -> Done<()> {
        self.write(Terms::LAZY, move |work| Ok(put_value(work.connection, &value, oldest)?)).await
    }
}
