//! The SQL of the keys of zones.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::SqliteStore;
use super::account::audit;
use super::job::Terms;
use super::name::Done;
use super::row::{self, parsed, readable};
use crate::account::Change;
use crate::base::{AccountId, DomainName};
use crate::dns::sign::KeyState;
use crate::dns::sign::store::{StoredZoneKey, ZoneKeyStore};

fn key(row: &Row<'_>) -> rusqlite::Result<StoredZoneKey> {
    Ok(StoredZoneKey {
        zone: parsed(row, 0, DomainName::parse)?,
        tag: row.get(1)?,
        account: row.get::<_, Option<i64>>(2)?.map(AccountId),
        sealed_key: row.get(3)?,
        state: parsed(row, 4, |text| KeyState::from_stored(text).ok_or("no state of a key"))?,
        since: row::time(row.get(5)?),
    })
}

#[async_trait]
impl ZoneKeyStore for SqliteStore {
    async fn load_zone_keys(&self) -> Done<Vec<StoredZoneKey>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT zone, tag, account, sealed_key, state, since FROM zone_key ORDER BY zone, tag",
            )?;
            let rows = statement.query_map([], key)?;
            Ok(readable("zone_key", rows)?)
        })
        .await
    }

    async fn put_zone_keys(
        &self,
        zone: DomainName,
        keys: Vec<StoredZoneKey>,
        what: String,
        change: Change,
    ) -> Done<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            db.execute("DELETE FROM zone_key WHERE zone = ?1", [zone.as_str()])?;
            for key in &keys {
                db.execute(
                    "INSERT INTO zone_key (zone, tag, account, sealed_key, state, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        zone.as_str(),
                        key.tag,
                        key.account.map(|account| account.0),
                        key.sealed_key,
                        key.state.as_str(),
                        row::stored_time(key.since)
                    ],
                )?;
            }
            Ok(audit(db, &change, keys.first().and_then(|key| key.account), &what)?)
        })
        .await
    }
}
