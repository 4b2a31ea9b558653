//! Reads accounts, domains, keys, people and the audit log.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::retired;
use super::row::{self, odd, parsed, parsed_optional, readable};
use crate::account::{
    Account, AccountName, AccountStatus, AuditEntry, BeatKeyRecord, Directory, Domain, Endpoint, Manners, Membership,
    Person, Preferences, Role, WebSession,
};
use crate::base::{AccountId, DomainName, EndpointId, PersonId, WallTime};

/// Rows of the audit log in one answer, at most.
const AUDIT_ROWS_MAX: u32 = 1_000;

/// A role as stored.
pub(super) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Technician => "technician",
        Role::Owner => "owner",
    }
}

fn role(word: &str) -> Result<Role, &'static str> {
    [Role::Viewer, Role::Technician, Role::Owner].into_iter().find(|role| role_word(*role) == word).ok_or("not a role")
}

/// Everything that [`Directory`] holds, of one instant.
pub(super) fn directory(db: &Connection, now: WallTime) -> rusqlite::Result<Directory> {
    let directory = Directory::new(accounts(db)?, endpoints(db)?, domains(db)?, beat_keys(db, now)?);
    let kept = retired::kept(db, &directory)?;
    Ok(directory.with_kept(kept).with_preferences(preferences(db)?))
}

fn preferences(db: &Connection) -> rusqlite::Result<HashMap<AccountId, Preferences>> {
    let mut statement = db.prepare_cached("SELECT account, settings FROM preference")?;
    let rows = statement.query_map([], |row| {
        Ok((AccountId(row.get(0)?), parsed(row, 1, |text| serde_json::from_str::<Preferences>(text))?))
    })?;
    Ok(readable("preference", rows)?.into_iter().collect())
}

fn accounts(db: &Connection) -> rusqlite::Result<Vec<Account>> {
    let mut statement =
        db.prepare_cached("SELECT id, name, status, created_at, status_since, online_mode FROM account WHERE id > 0")?;
    let rows = statement.query_map([], |row| {
        Ok(Account {
            id: AccountId(row.get(0)?),
            name: parsed(row, 1, str::parse::<AccountName>)?,
            status: parsed(row, 2, str::parse::<AccountStatus>)?,
            created_at: row::time(row.get(3)?),
            status_since: row::time(row.get::<_, Option<i64>>(4)?.map_or_else(|| row.get(3), Ok)?),
            online_mode: parsed_optional(row, 5)?,
        })
    })?;
    readable("account", rows)
}

fn endpoints(db: &Connection) -> rusqlite::Result<Vec<Endpoint>> {
    let mut statement = db.prepare_cached(
        "SELECT id, account, host, smtp_port, address_v4, address_v6, pin, size_max, eight_bit_mime, smtputf8
                 FROM endpoint ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Endpoint {
            id: EndpointId(row.get(0)?),
            account: AccountId(row.get(1)?),
            host: parsed(row, 2, DomainName::parse)?,
            smtp_port: row.get(3)?,
            address_v4: parsed_optional(row, 4)?,
            address_v6: parsed_optional(row, 5)?,
            pin: row.get(6)?,
            manners: manners(row)?,
        })
    })?;
    readable("endpoint", rows)
}

fn manners(row: &Row<'_>) -> rusqlite::Result<Option<Manners>> {
    let octets_max = row.get::<_, Option<i64>>(7)?.map(row::count);
    let (eight_bit_mime, smtputf8): (Option<bool>, Option<bool>) = (row.get(8)?, row.get(9)?);
    Ok(eight_bit_mime.zip(smtputf8).map(|(eight_bit_mime, smtputf8)| Manners { octets_max, eight_bit_mime, smtputf8 }))
}

fn domains(db: &Connection) -> rusqlite::Result<Vec<Domain>> {
    let mut routes: HashMap<String, Vec<EndpointId>> = HashMap::new();
    let mut statement = db.prepare_cached("SELECT domain, endpoint FROM domain_endpoint ORDER BY domain, place")?;
    for route in statement.query_map([], |row| Ok((row.get(0)?, EndpointId(row.get(1)?))))? {
        let (domain, endpoint) = route?;
        routes.entry(domain).or_default().push(endpoint);
    }
    let mut statement = db.prepare_cached("SELECT name, account FROM domain")?;
    let rows = statement.query_map([], |row| {
        let name = parsed(row, 0, DomainName::parse)?;
        let endpoints = routes.get(name.as_str()).cloned().ok_or_else(|| odd(0, "a domain without a server"))?;
        Ok(Domain { endpoints, name, account: AccountId(row.get(1)?) })
    })?;
    readable("domain", rows)
}

fn beat_keys(db: &Connection, now: WallTime) -> rusqlite::Result<Vec<BeatKeyRecord>> {
    let mut statement = db.prepare_cached(
        "SELECT endpoint, locator, sealed_mac_keys, move_key, bearer_verifier, created_at, expires_at FROM beat_key
         WHERE expires_at IS NULL OR expires_at > ?1 ORDER BY endpoint, created_at, locator",
    )?;
    let rows = statement.query_map([row::stored_time(now)], |row| {
        Ok(BeatKeyRecord {
            endpoint: EndpointId(row.get(0)?),
            locator: row.get(1)?,
            sealed_mac_keys: row.get(2)?,
            move_key: row.get(3)?,
            bearer_verifier: row.get(4)?,
            created_at: row::time(row.get(5)?),
            expires_at: row.get::<_, Option<i64>>(6)?.map(row::time),
        })
    })?;
    readable("beat_key", rows)
}

/// The first owner of an account.
pub(super) fn owner(db: &Connection, account: AccountId) -> rusqlite::Result<Option<PersonId>> {
    let mut statement =
        db.prepare_cached("SELECT min(person) FROM membership WHERE account = ?1 AND role = 'owner'")?;
    let person: Option<i64> = statement.query_row([account.0], |row| row.get(0))?;
    Ok(person.map(PersonId))
}

/// A person with all places in accounts.
pub(super) fn person(db: &Connection, person: PersonId) -> rusqlite::Result<Option<(Person, Vec<Membership>)>> {
    let mut statement = db.prepare_cached("SELECT name, is_operator FROM person WHERE id = ?1")?;
    let known = statement
        .query_row([person.0], |row| Ok(Person { id: person, name: row.get(0)?, is_operator: row.get(1)? }))
        .optional()?;
    let Some(known) = known else { return Ok(None) };
    let mut statement = db.prepare_cached("SELECT account, role FROM membership WHERE person = ?1 ORDER BY account")?;
    let rows = statement.query_map([person.0], |row| {
        Ok(Membership { person, account: AccountId(row.get(0)?), role: parsed(row, 1, role)? })
    })?;
    Ok(Some((known, readable("membership", rows)?)))
}

/// The session of a cookie, unless it has ended.
pub(super) fn session(db: &Connection, hash: [u8; 32], now: WallTime) -> rusqlite::Result<Option<WebSession>> {
    db.prepare_cached("SELECT person, expires_at, seen_at FROM web_session WHERE secret_hash = ?1 AND expires_at > ?2")?
        .query_row(params![hash, row::stored_time(now)], |row| {
            Ok(WebSession {
                secret_hash: hash,
                person: PersonId(row.get(0)?),
                expires_at: row::time(row.get(1)?),
                seen_at: row.get::<_, Option<i64>>(2)?.map(row::time),
            })
        })
        .optional()
}

/// The newest audit rows.
pub(super) fn audit_rows(db: &Connection, account: Option<AccountId>, limit: u32) -> rusqlite::Result<Vec<AuditEntry>> {
    let limit = limit.min(AUDIT_ROWS_MAX);
    let entry = |row: &Row<'_>| {
        Ok(AuditEntry {
            at: row::time(row.get(0)?),
            who: row.get(1)?,
            account: row.get::<_, Option<i64>>(2)?.map(AccountId),
            what: row.get(3)?,
        })
    };
    match account {
        Some(account) => readable(
            "audit",
            db.prepare_cached("SELECT at, who, account, what FROM audit WHERE account = ?1 ORDER BY id DESC LIMIT ?2")?
                .query_map(params![account.0, limit], entry)?,
        ),
        None => readable(
            "audit",
            db.prepare_cached("SELECT at, who, account, what FROM audit ORDER BY id DESC LIMIT ?1")?
                .query_map([limit], entry)?,
        ),
    }
}
