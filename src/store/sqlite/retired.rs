//! Names that were served here once: put off for a while, and dynamic ones never given to anybody else.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{self, parsed, readable};
use crate::account::{Directory, Kept};
use crate::base::{AccountId, DomainName, WallTime};

/// Keeps a name in memory of its account. The rule for a dynamic one outlives everything said later.
pub(super) fn retire_domain(
    db: &Connection,
    name: &DomainName,
    account: AccountId,
    deferred_until: WallTime,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO retired_name (name, account, is_dynamic, deferred_until) VALUES (?1, ?2, 0, ?3)
         ON CONFLICT (name) DO UPDATE SET deferred_until = excluded.deferred_until",
        params![name.as_str(), account.0, row::stored_time(deferred_until)],
    )
    .map(drop)
}

/// Retires a further dynamic name that ever had an address.
pub(super) fn retire_host(
    db: &Connection,
    name: &DomainName,
    account: AccountId,
    at: WallTime,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO retired_name (name, account, is_dynamic, deferred_until)
         SELECT h.name, e.account, 1, ?3 FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint
           WHERE h.name = ?1 AND e.account = ?2 AND h.changed_at IS NOT NULL
         ON CONFLICT (name) DO NOTHING",
        params![name.as_str(), account.0, row::stored_time(at)],
    )
    .map(drop)
}

/// Retires the domains of an account and all of its dynamic names that ever had an address. One that never had was
/// never seen by anybody.
pub(super) fn retire_all_names(db: &Connection, account: AccountId, at: WallTime) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO retired_name (name, account, is_dynamic, deferred_until)
         SELECT host, ?1, 1, ?2 FROM endpoint
           WHERE account = ?1 AND (address_v4 IS NOT NULL OR address_v6 IS NOT NULL)
         UNION
         SELECT h.name, ?1, 1, ?2 FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint
           WHERE e.account = ?1 AND h.changed_at IS NOT NULL
         UNION
         SELECT name, ?1, 0, ?2 FROM domain WHERE account = ?1
         ON CONFLICT (name) DO NOTHING",
        params![account.0, row::stored_time(at)],
    )
    .map(drop)
}

/// Whether the name was the dynamic name of somebody else.
pub(super) fn is_anothers(db: &Connection, name: &DomainName, account: Option<AccountId>) -> rusqlite::Result<bool> {
    let owner: Option<i64> = db
        .prepare_cached("SELECT account FROM retired_name WHERE name = ?1 AND is_dynamic = 1")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    Ok(owner.is_some_and(|owner| account.is_none_or(|account| account.0 != owner)))
}

/// The name is served again.
pub(super) fn recall(db: &Connection, name: &DomainName) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM retired_name WHERE name = ?1")?.execute([name.as_str()]).map(drop)
}

/// What `directory` does not serve although a row speaks of it.
pub(super) fn kept(db: &Connection, directory: &Directory) -> rusqlite::Result<HashMap<DomainName, Kept>> {
    let mut statement = db.prepare_cached("SELECT name, deferred_until FROM retired_name")?;
    let rows = statement.query_map([], |row| {
        let deferred_until = row::time(row.get(1)?);
        Ok((parsed(row, 0, DomainName::parse)?, Kept::Retired { deferred_until }))
    })?;
    let mut kept: HashMap<DomainName, Kept> = readable("retired_name", rows)?.into_iter().collect();
    let mut statement = db.prepare_cached("SELECT name FROM domain UNION SELECT host FROM endpoint")?;
    let names = statement.query_map([], |row| parsed(row, 0, DomainName::parse))?;
    let unread = readable("domain", names)?.into_iter().filter(|name| directory.served(name).is_none());
    kept.extend(unread.map(|name| (name, Kept::Unreadable)));
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::super::{account_read, migrate::MIGRATIONS};
    use super::*;

    #[test]
    fn a_name_whose_rows_cannot_be_read_is_known_and_not_served() {
        let db = Connection::open_in_memory().unwrap();
        for step in MIGRATIONS {
            db.execute_batch(step).unwrap();
        }
        db.execute_batch(
            "INSERT INTO account (id, name, status, created_at) VALUES (1, 'good', 'active', 0), (2, 'odd', 'nonsense', 0);
             INSERT INTO endpoint (id, account, host, smtp_port) VALUES (1, 1, 'good.dyn.example', 25),
                 (2, 2, 'odd.dyn.example', 25), (3, 1, 'port.dyn.example', 99999999);
             INSERT INTO domain (name, account) VALUES ('good.example', 1), ('odd.example', 2), ('lost.example', 1);
             INSERT INTO domain_endpoint (domain, place, endpoint) VALUES ('good.example', 0, 1), ('odd.example', 0, 2);",
        )
        .unwrap();
        let directory = account_read::directory(&db, WallTime::UNIX_EPOCH).unwrap();
        for (name, is_served) in [
            ("good.example", true),
            ("good.dyn.example", true),
            ("odd.example", false),
            ("odd.dyn.example", false),
            ("port.dyn.example", false),
            ("lost.example", false),
        ] {
            let name = DomainName::parse(name).unwrap();
            assert_eq!(directory.served(&name).is_some(), is_served, "{name}");
            assert_eq!(directory.kept(&name), (!is_served).then_some(Kept::Unreadable), "{name}");
        }
    }
}
