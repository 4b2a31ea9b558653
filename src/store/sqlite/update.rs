//! Updates from devices: tokens, names and where they point, last requests.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::job::Terms;
use super::retired;
use super::row::{self, odd, parsed, parsed_optional, readable};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};
use crate::update::model::{DEVICES_PER_ACCOUNT_MAX, HOSTS_PER_ACCOUNT_MAX, TOKENS_PER_ACCOUNT_MAX};
use crate::update::{
    DeviceRequest, HostName, Policy, Reason, Role, TokenKind, TokenRecord, UpdateError, UpdateRows, UpdateStore,
};

type Changed<T> = Result<T, UpdateError>;

fn require_account(db: &Connection, account: AccountId) -> Changed<()> {
    db.query_row("SELECT 1 FROM account WHERE id = ?1", [account.0], |_| Ok(()))
        .optional()?
        .ok_or(UpdateError::NoAccount)
}

fn require_room(db: &Connection, sql: &str, account: AccountId, most: usize) -> Changed<()> {
    let count: i64 = db.query_row(sql, [account.0], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= most { Err(UpdateError::Full(most)) } else { Ok(()) }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get(0)?,
        account: AccountId(row.get(1)?),
        kind: parsed(row, 2, |word| TokenKind::from_stored(word).ok_or("not a kind of token"))?,
        host: parsed_optional(row, 3)?,
        verifier: row.get(4)?,
        created_at: row::time(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(row::time),
    })
}

fn host(row: &Row<'_>) -> rusqlite::Result<HostName> {
    Ok(HostName {
        name: parsed(row, 0, DomainName::parse)?,
        account: AccountId(row.get(1)?),
        endpoint: EndpointId(row.get(2)?),
        address_v4: parsed_optional(row, 3)?,
        address_v6: parsed_optional(row, 4)?,
        interface_id: parsed_optional(row, 5)?,
        is_withdrawn: row.get(6)?,
        changed_at: row.get::<_, Option<i64>>(7)?.map(row::time),
    })
}

fn policy(row: &Row<'_>) -> rusqlite::Result<(AccountId, Policy)> {
    let expiry: Option<i64> = row.get(1)?;
    let expiry = expiry.map(|seconds| Duration::from_secs(row::count(seconds)));
    Ok((AccountId(row.get(0)?), Policy { expiry, backup_mx: row.get(2)? }))
}

fn request(row: &Row<'_>) -> rusqlite::Result<DeviceRequest> {
    Ok(DeviceRequest {
        account: AccountId(row.get(0)?),
        device: row.get(1)?,
        at: row::time(row.get(2)?),
        peer: parsed(row, 3, str::parse)?,
        agent: row.get(4)?,
        is_encrypted: row.get(5)?,
        hosts: row.get(6)?,
        answer: row.get(7)?,
        reason: parsed(row, 8, |word| Reason::from_stored(word).ok_or("not a reason"))?,
    })
}

fn role(row: &Row<'_>) -> rusqlite::Result<(EndpointId, Role)> {
    let word: String = row.get(1)?;
    Ok((EndpointId(row.get(0)?), Role::from_stored(&word).ok_or_else(|| odd(1, word))?))
}

fn rows(db: &Connection) -> Changed<UpdateRows> {
    fn all<T>(
        db: &Connection,
        table: &'static str,
        sql: &str,
        make: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map([], make)?;
        readable(table, rows)
    }
    Ok(UpdateRows {
        tokens: all(
            db,
            "update_token",
            "SELECT id, account, kind, host, verifier, created_at, expires_at FROM update_token ORDER BY id",
            token,
        )?,
        hosts: all(
            db,
            "host_name",
            "SELECT h.name, e.account, h.endpoint, h.address_v4, h.address_v6, h.interface_id, h.is_withdrawn,
                    h.changed_at
             FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint ORDER BY h.name",
            host,
        )?,
        policies: all(
            db,
            "update_policy",
            "SELECT account, expiry_s, backup_mx FROM update_policy ORDER BY account",
            policy,
        )?,
        roles: all(db, "update_role", "SELECT endpoint, role FROM update_role ORDER BY endpoint", role)?,
        requests: all(
            db,
            "update_request",
            "SELECT account, device, at, peer, agent, is_encrypted, hosts, answer, reason FROM update_request
             ORDER BY account, device",
            request,
        )?,
    })
}

fn insert_token(db: &Connection, token: &TokenRecord, change: &Change) -> Changed<i64> {
    require_account(db, token.account)?;
    let counted = "SELECT count(*) FROM update_token WHERE account = ?1";
    require_room(db, counted, token.account, TOKENS_PER_ACCOUNT_MAX)?;
    db.execute(
        "INSERT INTO update_token (account, kind, host, verifier, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.account.0,
            token.kind.as_str(),
            token.host.as_ref().map(DomainName::as_str),
            token.verifier,
            row::stored_time(token.created_at),
            token.expires_at.map(row::stored_time)
        ],
    )?;
    let id = db.last_insert_rowid();
    audit(db, change, Some(token.account), &format!("token.add {id} {}", token.kind.as_str()))?;
    Ok(id)
}

/// A further name must not be a domain or a server of another account, nor the server of this one.
fn insert_host(db: &Connection, host: &HostName, change: &Change) -> Changed<()> {
    let name = host.name.as_str();
    let account: i64 = db
        .query_row("SELECT account FROM endpoint WHERE id = ?1", [host.endpoint.0], |row| row.get(0))
        .optional()?
        .ok_or(UpdateError::NoAccount)?;
    let taken: i64 = db.query_row(
        "SELECT (SELECT count(*) FROM domain WHERE name = ?1 AND account <> ?2)
              + (SELECT count(*) FROM endpoint WHERE host = ?1 AND account <> ?2)
              + (SELECT count(*) FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint
                 WHERE h.name = ?1 AND e.account <> ?2)",
        params![name, account],
        |row| row.get(0),
    )?;
    if taken > 0 {
        return Err(UpdateError::NameTaken(host.name.clone()));
    }
    if retired::is_anothers(db, &host.name, Some(AccountId(account)))? {
        return Err(UpdateError::NameRetired(host.name.clone()));
    }
    let counted = "SELECT count(*) FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint WHERE e.account = ?1";
    require_room(db, counted, AccountId(account), HOSTS_PER_ACCOUNT_MAX)?;
    db.execute(
        "INSERT INTO host_name (name, endpoint, interface_id, is_withdrawn) VALUES (?1, ?2, ?3, 0)
         ON CONFLICT (name) DO UPDATE SET interface_id = excluded.interface_id",
        params![name, host.endpoint.0, host.interface_id.map(|id| id.to_string())],
    )?;
    audit(db, change, Some(AccountId(account)), &format!("host.add {name}"))?;
    Ok(())
}

fn delete_host(db: &Connection, account: AccountId, name: &DomainName, change: &Change) -> Changed<()> {
    retired::retire_host(db, name, account, change.at)?;
    let removed = db.execute(
        "DELETE FROM host_name WHERE name = ?1 AND endpoint IN (SELECT id FROM endpoint WHERE account = ?2)
           AND name NOT IN (SELECT host FROM endpoint)",
        params![name.as_str(), account.0],
    )?;
    if removed == 0 {
        return Err(UpdateError::NoHost(name.clone()));
    }
    db.execute("DELETE FROM update_token WHERE account = ?1 AND host = ?2", params![account.0, name.as_str()])?;
    audit(db, change, Some(account), &format!("host.remove {name}"))?;
    Ok(())
}

/// The row is written only if the server is still there and nothing newer is known.
fn point_host(db: &Connection, host: &HostName) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO host_name (name, endpoint, address_v4, address_v6, interface_id, is_withdrawn, changed_at)
         SELECT ?1, id, ?3, ?4, ?5, ?6, ?7 FROM endpoint WHERE id = ?2
         ON CONFLICT (name) DO UPDATE SET address_v4 = excluded.address_v4, address_v6 = excluded.address_v6,
             is_withdrawn = excluded.is_withdrawn, changed_at = excluded.changed_at
         WHERE host_name.endpoint = excluded.endpoint
           AND (host_name.changed_at IS NULL OR host_name.changed_at <= excluded.changed_at)",
    )?
    .execute(params![
        host.name.as_str(),
        host.endpoint.0,
        host.address_v4.map(|address| address.to_string()),
        host.address_v6.map(|address| address.to_string()),
        host.interface_id.map(|address| address.to_string()),
        host.is_withdrawn,
        host.changed_at.map(row::stored_time)
    ])
    .map(drop)
}

fn write_request(db: &Connection, request: &DeviceRequest) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO update_request
             (account, device, at, peer, agent, is_encrypted, hosts, answer, reason)
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM account WHERE id = ?1",
    )?
    .execute(params![
        request.account.0,
        request.device,
        row::stored_time(request.at),
        request.peer.to_string(),
        request.agent,
        request.is_encrypted,
        request.hosts,
        request.answer,
        request.reason.as_str()
    ])?;
    db.prepare_cached(
        "DELETE FROM update_request WHERE account = ?1 AND device NOT IN
             (SELECT device FROM update_request WHERE account = ?1 ORDER BY at DESC, device LIMIT ?2)",
    )?
    .execute(params![request.account.0, i64::try_from(DEVICES_PER_ACCOUNT_MAX).unwrap_or(i64::MAX)])
    .map(drop)
}

fn write_policy(db: &Connection, account: AccountId, policy: Policy, change: &Change) -> Changed<()> {
    require_account(db, account)?;
    db.execute(
        "INSERT INTO update_policy (account, expiry_s, backup_mx) VALUES (?1, ?2, ?3)
         ON CONFLICT (account) DO UPDATE SET expiry_s = excluded.expiry_s, backup_mx = excluded.backup_mx",
        params![account.0, policy.expiry.map(|expiry| row::stored_count(expiry.as_secs())), policy.backup_mx],
    )?;
    audit(db, change, Some(account), &policy.audit_words())?;
    Ok(())
}

#[async_trait]
impl UpdateStore for SqliteStore {
    async fn load_updates(&self) -> Changed<UpdateRows> {
        self.read(rows).await
    }

    async fn add_token(&self, token: TokenRecord, change: Change) -> Changed<i64> {
        self.write(Terms::SYNCED, move |work| insert_token(work.connection, &token, &change)).await
    }

    async fn revoke_token(&self, account: AccountId, id: i64, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let removed =
                db.execute("DELETE FROM update_token WHERE id = ?1 AND account = ?2", params![id, account.0])?;
            if removed == 0 {
                return Err(UpdateError::NoToken(id));
            }
            Ok(audit(db, &change, Some(account), &format!("token.revoke {id}"))?)
        })
        .await
    }

    async fn add_host(&self, host: HostName, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| insert_host(work.connection, &host, &change)).await
    }

    async fn remove_host(&self, account: AccountId, name: DomainName, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| delete_host(work.connection, account, &name, &change)).await
    }

    async fn set_policy(&self, account: AccountId, policy: Policy, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| write_policy(work.connection, account, policy, &change)).await
    }

    async fn set_role(&self, endpoint: EndpointId, role: Role) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            work.connection.execute(
                "INSERT INTO update_role (endpoint, role) SELECT id, ?2 FROM endpoint WHERE id = ?1
                 ON CONFLICT (endpoint) DO UPDATE SET role = excluded.role",
                params![endpoint.0, role.as_str()],
            )?;
            Ok(())
        })
        .await
    }

    async fn set_hosts(&self, hosts: Vec<HostName>) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            for host in &hosts {
                point_host(work.connection, host)?;
            }
            Ok(())
        })
        .await
    }

    async fn note_request(&self, request: DeviceRequest) -> Changed<()> {
        self.write(Terms::LAZY, move |work| Ok(write_request(work.connection, &request)?)).await
    }
}
