//! The SQL of shared keys and of the servers that follow zones.

use std::net::SocketAddr;

use rusqlite::{Connection, OptionalExtension, params};

use super::account::audit;
use super::name::{Done, owner_of};
use super::row::{self, readable};
use crate::account::Change;
use crate::base::DomainName;
use crate::dns::store::{KEYS_MAX, NameError, SECONDARIES_PER_ZONE_MAX, StoredKey, StoredSecondary};

pub(super) fn keys(db: &Connection) -> Done<Vec<StoredKey>> {
    let mut statement = db.prepare_cached("SELECT name, sealed_secret, created_at FROM tsig_key ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        Ok(StoredKey {
            name: row::parsed(row, 0, DomainName::parse)?,
            sealed_secret: row.get(1)?,
            created_at: row::time(row.get(2)?),
        })
    })?;
    Ok(readable("tsig_key", rows)?)
}

pub(super) fn has_key(db: &Connection, name: &DomainName) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) > 0 FROM tsig_key WHERE name = ?1", [name.as_str()], |row| row.get(0))
}

pub(super) fn add_key(db: &Connection, key: &StoredKey, change: &Change) -> Done<()> {
    if has_key(db, &key.name)? {
        return Err(NameError::KeyTaken(key.name.clone()));
    }
    let count: u32 = db.query_row("SELECT count(*) FROM tsig_key", [], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= KEYS_MAX {
        return Err(NameError::Enough(KEYS_MAX, "keys"));
    }
    db.execute(
        "INSERT INTO tsig_key (name, sealed_secret, created_at) VALUES (?1, ?2, ?3)",
        params![key.name.as_str(), key.sealed_secret, row::stored_time(key.created_at)],
    )?;
    Ok(audit(db, change, None, &format!("tsig.new {}", key.name))?)
}

pub(super) fn remove_key(db: &Connection, name: DomainName, change: &Change) -> Done<()> {
    let user = db
        .query_row("SELECT zone FROM zone_secondary WHERE tsig_key = ?1 ORDER BY zone", [name.as_str()], |row| {
            row::parsed(row, 0, DomainName::parse)
        })
        .optional()?;
    if let Some(zone) = user {
        return Err(NameError::KeyUsed(name, zone));
    }
    if db.execute("DELETE FROM tsig_key WHERE name = ?1", [name.as_str()])? == 0 {
        return Err(NameError::NoKey(name));
    }
    Ok(audit(db, change, None, &format!("tsig.remove {name}"))?)
}

pub(super) fn serials(db: &Connection) -> Done<Vec<(DomainName, u32)>> {
    let mut statement = db.prepare_cached("SELECT zone, serial FROM zone_served ORDER BY zone")?;
    let rows = statement.query_map([], |row| Ok((row::parsed(row, 0, DomainName::parse)?, row.get(1)?)))?;
    Ok(readable("zone_served", rows)?)
}

pub(super) fn set_serials(db: &Connection, all: &[(DomainName, u32)]) -> Done<()> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO zone_served (zone, serial) VALUES (?1, ?2)")?;
    for (zone, serial) in all {
        statement.execute(params![zone.as_str(), serial])?;
    }
    Ok(())
}

pub(super) fn secondaries(db: &Connection) -> Done<Vec<StoredSecondary>> {
    let mut statement =
        db.prepare_cached("SELECT zone, address, tsig_key FROM zone_secondary ORDER BY zone, address")?;
    let rows = statement.query_map([], |row| {
        Ok(StoredSecondary {
            zone: row::parsed(row, 0, DomainName::parse)?,
            address: row::parsed(row, 1, str::parse::<SocketAddr>)?,
            key: row
                .get::<_, Option<String>>(2)?
                .map(|name| DomainName::parse(&name))
                .transpose()
                .map_err(|e| row::odd(2, e))?,
        })
    })?;
    let mut all = readable("zone_secondary", rows)?;
    all.sort_by(|a, b| (&a.zone, a.address).cmp(&(&b.zone, b.address)));
    Ok(all)
}

pub(super) fn put_secondary(db: &Connection, secondary: StoredSecondary, change: &Change) -> Done<()> {
    if let Some(key) = &secondary.key
        && !has_key(db, key)?
    {
        return Err(NameError::NoKey(key.clone()));
    }
    let (zone, address) = (&secondary.zone, secondary.address);
    let others: u32 = db.query_row(
        "SELECT count(*) FROM zone_secondary WHERE zone = ?1 AND address <> ?2",
        params![zone.as_str(), address.to_string()],
        |row| row.get(0),
    )?;
    if usize::try_from(others).unwrap_or(usize::MAX) >= SECONDARIES_PER_ZONE_MAX {
        return Err(NameError::Enough(SECONDARIES_PER_ZONE_MAX, "secondaries"));
    }
    db.execute(
        "INSERT OR REPLACE INTO zone_secondary (zone, address, tsig_key) VALUES (?1, ?2, ?3)",
        params![zone.as_str(), address.to_string(), secondary.key.as_ref().map(DomainName::as_str)],
    )?;
    Ok(audit(db, change, owner_of(db, zone)?, &format!("zone.secondary.put {zone} {address}"))?)
}

pub(super) fn remove_secondary(db: &Connection, zone: DomainName, address: SocketAddr, change: &Change) -> Done<()> {
    let gone = db.execute(
        "DELETE FROM zone_secondary WHERE zone = ?1 AND address = ?2",
        params![zone.as_str(), address.to_string()],
    )?;
    if gone == 0 {
        return Err(NameError::NoSecondary(zone, address));
    }
    let owner = owner_of(db, &zone)?;
    Ok(audit(db, change, owner, &format!("zone.secondary.remove {zone} {address}"))?)
}
