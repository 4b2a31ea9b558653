//! The SQL of what shared keys may change.

use rusqlite::{Connection, params};

use super::account::audit;
use super::name::Done;
use super::row::{self, readable};
use super::secondary::has_key;
use crate::account::Change;
use crate::base::{AccountId, DomainName};
use crate::dns::amend::scope::{SCOPES_PER_KEY_MAX, StoredScope, TypeList};
use crate::dns::store::NameError;

pub(super) fn scopes(db: &Connection) -> Done<Vec<StoredScope>> {
    let mut statement =
        db.prepare_cached("SELECT tsig_key, name, account, is_below, types FROM tsig_scope ORDER BY tsig_key, name")?;
    let rows = statement.query_map([], |row| {
        Ok(StoredScope {
            key: row::parsed(row, 0, DomainName::parse)?,
            name: row::parsed(row, 1, DomainName::parse)?,
            account: AccountId(row.get(2)?),
            is_below: row.get(3)?,
            types: row::parsed(row, 4, TypeList::from_stored)?,
        })
    })?;
    Ok(readable("tsig_scope", rows)?)
}

pub(super) fn put_scope(db: &Connection, scope: &StoredScope, change: &Change) -> Done<()> {
    let StoredScope { key, name, account, is_below, types } = scope;
    if !has_key(db, key)? {
        return Err(NameError::NoKey(key.clone()));
    }
    let is_known: bool =
        db.query_row("SELECT count(*) > 0 FROM account WHERE id = ?1", [account.0], |row| row.get(0))?;
    if !is_known {
        return Err(NameError::NoAccount);
    }
    let others: u32 = db.query_row(
        "SELECT count(*) FROM tsig_scope WHERE tsig_key = ?1 AND name <> ?2",
        params![key.as_str(), name.as_str()],
        |row| row.get(0),
    )?;
    if usize::try_from(others).unwrap_or(usize::MAX) >= SCOPES_PER_KEY_MAX {
        return Err(NameError::Enough(SCOPES_PER_KEY_MAX, "names for this key"));
    }
    db.execute(
        "INSERT OR REPLACE INTO tsig_scope (tsig_key, name, account, is_below, types) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key.as_str(), name.as_str(), account.0, is_below, types.stored()],
    )?;
    Ok(audit(db, change, Some(*account), &scope.audit_words())?)
}

pub(super) fn remove_scope(db: &Connection, key: DomainName, name: DomainName, change: &Change) -> Done<()> {
    let known = scopes(db)?.into_iter().find(|scope| scope.key == key && scope.name == name);
    let Some(scope) = known else { return Err(NameError::NoScope(key, name)) };
    db.execute("DELETE FROM tsig_scope WHERE tsig_key = ?1 AND name = ?2", params![key.as_str(), name.as_str()])?;
    Ok(audit(db, change, Some(scope.account), &format!("tsig.deny {key} {name}"))?)
}
