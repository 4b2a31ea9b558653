//! The SQL of names and zones.

use std::net::SocketAddr;

use async_trait::async_trait;
use hickory_proto::rr::{RData, RecordType};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::error::WriteFailure;
use super::job::Terms;
use super::row::{self, parsed_optional, readable};
use super::scope::{put_scope, remove_scope, scopes};
use super::secondary::{add_key, keys, put_secondary, remove_key, remove_secondary, secondaries, serials, set_serials};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};
use crate::dns::amend::scope::StoredScope;
use crate::dns::front::Front;
use crate::dns::owner::Owner;
use crate::dns::records::read_data;
use crate::dns::store::{
    CHANGES_PER_ZONE_MAX, NameError, NameStore, StoredKey, StoredSecondary, StoredZone, ZONES_PER_ACCOUNT_MAX,
    ZoneChange,
};
use crate::dns::zone::ZoneRecord;

pub(super) type Done<T> = Result<T, NameError>;

impl From<rusqlite::Error> for NameError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<WriteFailure> for NameError {
    fn from(failure: WriteFailure) -> Self {
        Self::Engine(Box::new(failure))
    }
}

fn front(row: &Row<'_>) -> rusqlite::Result<(EndpointId, Front)> {
    Ok((EndpointId(row.get(0)?), Front { v4: parsed_optional(row, 1)?, v6: parsed_optional(row, 2)? }))
}

fn write_front(db: &Connection, endpoint: EndpointId, front: Front) -> rusqlite::Result<()> {
    if front.is_parked() {
        return db.prepare_cached("DELETE FROM name_front WHERE endpoint = ?1")?.execute([endpoint.0]).map(drop);
    }
    let (v4, v6) = (front.v4.map(|v4| v4.to_string()), front.v6.map(|v6| v6.to_string()));
    db.prepare_cached(
        "INSERT OR REPLACE INTO name_front (endpoint, address_v4, address_v6)
         SELECT id, ?2, ?3 FROM endpoint WHERE id = ?1",
    )?
    .execute(params![endpoint.0, v4, v6])
    .map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<ZoneRecord> {
    let (owner, number, ttl): (Vec<u8>, u16, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let data: Vec<u8> = row.get(3)?;
    let owner = Owner::from_stored(&owner).ok_or_else(|| row::odd(0, "no name"))?;
    let data: RData = read_data(RecordType::from(number), &data).map_err(|error| row::odd(3, error))?;
    Ok(ZoneRecord { owner, ttl, data })
}

/// Which zones are read.
enum Wanted<'a> {
    All,
    Of(AccountId),
    Zone(&'a DomainName),
}

/// A zone with one unreadable record is not served at all: half a zone says that the rest does not exist.
fn zones(db: &Connection, wanted: Wanted<'_>) -> Done<Vec<StoredZone>> {
    let (sql, key) = match wanted {
        Wanted::Of(account) => {
            ("SELECT name, account, serial FROM zone WHERE account = ?1 ORDER BY name", Value::from(account.0))
        }
        Wanted::Zone(apex) => {
            ("SELECT name, account, serial FROM zone WHERE name = ?1", Value::from(apex.as_str().to_owned()))
        }
        Wanted::All => ("SELECT name, account, serial FROM zone WHERE ?1 IS NULL ORDER BY name", Value::Null),
    };
    let mut heads = db.prepare_cached(sql)?;
    let heads = heads.query_map([key], |row| {
        Ok((row::parsed(row, 0, DomainName::parse)?, AccountId(row.get(1)?), row.get::<_, u32>(2)?))
    })?;
    let mut records =
        db.prepare_cached("SELECT owner, type, ttl, data FROM zone_record WHERE zone = ?1 ORDER BY place")?;
    let mut all = Vec::new();
    for (apex, account, serial) in readable("zone", heads)? {
        match records.query_map([apex.as_str()], record)?.collect::<rusqlite::Result<Vec<_>>>() {
            Ok(records) => all.push(StoredZone { apex, account, serial, records }),
            Err(error) if row::is_odd_row(&error) => {
                tracing::error!(zone = %apex, %error, "a zone with an odd record is kept and not served");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

pub(super) fn owner_of(db: &Connection, apex: &DomainName) -> rusqlite::Result<Option<AccountId>> {
    db.query_row("SELECT account FROM zone WHERE name = ?1", [apex.as_str()], |row| row.get(0).map(AccountId))
        .optional()
}

fn put(db: &Connection, zone: &StoredZone, change: &ZoneChange) -> Done<()> {
    let (name, account) = (zone.apex.as_str(), zone.account);
    let is_known: bool =
        db.query_row("SELECT count(*) > 0 FROM account WHERE id = ?1", [account.0], |row| row.get(0))?;
    if !is_known {
        return Err(NameError::NoAccount);
    }
    let owner = owner_of(db, &zone.apex)?;
    if owner.is_some_and(|owner| owner != account) {
        return Err(NameError::ZoneTaken(zone.apex.clone()));
    }
    let count: i64 = db.query_row("SELECT count(*) FROM zone WHERE account = ?1", [account.0], |row| row.get(0))?;
    if owner.is_none() && count >= i64::try_from(ZONES_PER_ACCOUNT_MAX).unwrap_or(i64::MAX) {
        return Err(NameError::Full(ZONES_PER_ACCOUNT_MAX));
    }
    db.execute(
        "INSERT INTO zone (name, account, serial) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET serial = excluded.serial",
        params![name, account.0, zone.serial],
    )?;
    super::zone_rows::put(db, name, &zone.records)?;
    db.execute(
        "INSERT INTO zone_change (zone, at, who, why, serial, what) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![name, row::stored_time(change.at), change.who, change.why, change.serial, change.what],
    )?;
    db.execute(
        "DELETE FROM zone_change WHERE zone = ?1 AND id NOT IN
             (SELECT id FROM zone_change WHERE zone = ?1 ORDER BY id DESC LIMIT ?2)",
        params![name, i64::try_from(CHANGES_PER_ZONE_MAX).unwrap_or(i64::MAX)],
    )?;
    let by = Change { at: change.at, who: change.who.clone() };
    audit(db, &by, Some(account), &format!("zone.put {name} serial {}", zone.serial))?;
    Ok(())
}

fn change_row(row: &Row<'_>) -> rusqlite::Result<ZoneChange> {
    Ok(ZoneChange {
        at: row::time(row.get(0)?),
        who: row.get(1)?,
        why: row.get(2)?,
        serial: row.get(3)?,
        what: row.get(4)?,
    })
}

#[async_trait]
impl NameStore for SqliteStore {
    async fn load_fronts(&self) -> Done<Vec<(EndpointId, Front)>> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT endpoint, address_v4, address_v6 FROM name_front ORDER BY endpoint")?;
            let rows = statement.query_map([], front)?;
            Ok(readable("name_front", rows)?)
        })
        .await
    }

    async fn set_fronts(&self, fronts: Vec<(EndpointId, Front)>) -> Done<()> {
        self.write(Terms::LAZY, move |work| {
            for (endpoint, front) in fronts {
                write_front(work.connection, endpoint, front)?;
            }
            Ok(())
        })
        .await
    }

    async fn load_zones(&self) -> Done<Vec<StoredZone>> {
        self.read(|db| zones(db, Wanted::All)).await
    }
    async fn zones_of(&self, account: AccountId) -> Done<Vec<StoredZone>> {
        self.read(move |db| zones(db, Wanted::Of(account))).await
    }

    async fn zone(&self, apex: DomainName) -> Done<Option<StoredZone>> {
        self.read(move |db| Ok(zones(db, Wanted::Zone(&apex))?.pop())).await
    }

    async fn put_zone(&self, zone: StoredZone, change: ZoneChange) -> Done<()> {
        self.write(Terms::SYNCED, move |work| put(work.connection, &zone, &change)).await
    }

    async fn remove_zone(&self, account: AccountId, apex: DomainName, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let removed =
                db.execute("DELETE FROM zone WHERE name = ?1 AND account = ?2", params![apex.as_str(), account.0])?;
            if removed == 0 {
                return Err(NameError::NoZone(apex));
            }
            db.execute("DELETE FROM zone_key WHERE zone = ?1", [apex.as_str()])?;
            Ok(audit(db, &change, Some(account), &format!("zone.remove {apex}"))?)
        })
        .await
    }

    async fn load_serials(&self) -> Done<Vec<(DomainName, u32)>> {
        self.read(serials).await
    }

    async fn set_serials(&self, all: Vec<(DomainName, u32)>) -> Done<()> {
        self.write(Terms::LAZY, move |work| set_serials(work.connection, &all)).await
    }

    async fn load_keys(&self) -> Done<Vec<StoredKey>> {
        self.read(keys).await
    }

    async fn add_key(&self, key: StoredKey, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| add_key(work.connection, &key, &change)).await
    }

    async fn load_scopes(&self) -> Done<Vec<StoredScope>> {
        self.read(scopes).await
    }

    async fn put_scope(&self, scope: StoredScope, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| put_scope(work.connection, &scope, &change)).await
    }

    async fn remove_scope(&self, key: DomainName, name: DomainName, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| remove_scope(work.connection, key, name, &change)).await
    }

    async fn remove_key(&self, name: DomainName, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| remove_key(work.connection, name, &change)).await
    }

    async fn load_secondaries(&self) -> Done<Vec<StoredSecondary>> {
        self.read(secondaries).await
    }

    async fn put_secondary(&self, secondary: StoredSecondary, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| put_secondary(work.connection, secondary, &change)).await
    }

    async fn remove_secondary(&self, zone: DomainName, address: SocketAddr, change: Change) -> Done<()> {
        self.write(Terms::SYNCED, move |work| remove_secondary(work.connection, zone, address, &change)).await
    }

    async fn zone_changes(&self, apex: DomainName, limit: u32) -> Done<Vec<ZoneChange>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT at, who, why, serial, what FROM zone_change WHERE zone = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![apex.as_str(), limit], change_row)?;
            Ok(readable("zone_change", rows)?)
        })
        .await
    }
}
