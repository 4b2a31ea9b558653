//! Changes of accounts, domains, keys and people; each carries its audit row.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::Misuse;
use super::job::Terms;
use super::{SqliteStore, account_read, recipient, retired, row};
use crate::account::store::owner_names;
use crate::account::{
    AccountError, AccountStatus, AccountStore, AuditEntry, BeatKeyRecord, Change, Directory, LEAVING_FOR, Manners,
    Membership, NewAccount, OnlineMode, Person, Preferences, Role, SignInLink, WebSession,
};
use crate::base::{AccountId, DomainName, EndpointId, PersonId, WallTime};

type Changed<T> = Result<T, AccountError>;

/// Writes the audit row of a change, in the change's own transaction.
pub(super) fn audit(db: &Connection, change: &Change, account: Option<AccountId>, what: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO audit (at, who, account, what) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![row::stored_time(change.at), change.who, account.map(|a| a.0), what])
        .map(drop)
}

pub(super) fn account_name(db: &Connection, account: AccountId) -> Changed<String> {
    db.query_row("SELECT name FROM account WHERE id = ?1", [account.0], |row| row.get(0))
        .optional()?
        .ok_or(AccountError::NoAccount)
}

/// Whether the name is a domain or the host of a server, and of which account.
fn server_of(db: &Connection, name: &DomainName) -> rusqlite::Result<Vec<(i64, bool)>> {
    db.prepare_cached(
        "SELECT account, 0 FROM domain WHERE name = ?1 UNION ALL SELECT account, 1 FROM endpoint WHERE host = ?1",
    )?
    .query_map([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Whether another account has this dynamic name.
fn is_dynamic_name_of_others(db: &Connection, name: &DomainName, account: AccountId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM host_name AS h JOIN endpoint AS e ON e.id = h.endpoint WHERE h.name = ?1 AND e.account <> ?2",
    )?
    .exists(params![name.as_str(), account.0])
}

/// Serves a domain. The host of one of the account's own servers is served anyway and needs no row.
fn insert_domain(db: &Connection, account: AccountId, name: &DomainName, endpoints: &[EndpointId]) -> Changed<()> {
    let served = server_of(db, name)?;
    if !served.is_empty() {
        let is_own_host = served.iter().all(|(owner, is_host)| *owner == account.0 && *is_host);
        return if is_own_host { Ok(()) } else { Err(AccountError::DomainTaken(name.clone())) };
    }
    if is_dynamic_name_of_others(db, name, account)? {
        return Err(AccountError::DomainTaken(name.clone()));
    }
    if retired::is_anothers(db, name, Some(account))? {
        return Err(AccountError::NameRetired(name.clone()));
    }
    if endpoints.is_empty() {
        return Err(Misuse("a domain needs at least one mail server").into());
    }
    db.execute("INSERT INTO domain (name, account) VALUES (?1, ?2)", params![name.as_str(), account.0])?;
    retired::recall(db, name)?;
    for (endpoint, place) in endpoints.iter().zip(0i64..) {
        let inserted = db.execute(
            "INSERT INTO domain_endpoint (domain, place, endpoint)
             SELECT ?1, ?2, id FROM endpoint WHERE id = ?3 AND account = ?4",
            params![name.as_str(), place, endpoint.0, account.0],
        )?;
        if inserted == 0 {
            return Err(Misuse("a domain is routed to mail servers of its own account").into());
        }
    }
    Ok(())
}

fn insert_key(db: &Connection, key: &BeatKeyRecord, endpoint: EndpointId) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO beat_key (locator, endpoint, sealed_mac_keys, move_key, bearer_verifier, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            key.locator,
            endpoint.0,
            key.sealed_mac_keys,
            key.move_key,
            key.bearer_verifier,
            row::stored_time(key.created_at),
            key.expires_at.map(row::stored_time)
        ],
    )
    .map(drop)
}

fn person_named(db: &Connection, name: &str, is_operator: bool) -> Changed<(PersonId, bool)> {
    let known = db
        .query_row("SELECT id, is_operator FROM person WHERE name = ?1", [name], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
        })
        .optional()?;
    match known {
        Some((id, known_operator)) if known_operator == is_operator => Ok((PersonId(id), false)),
        Some(_) => Err(Misuse("a person of this name has other rights").into()),
        None => Ok((insert_person(db, name, is_operator)?, true)),
    }
}

fn insert_person(db: &Connection, name: &str, is_operator: bool) -> rusqlite::Result<PersonId> {
    db.execute("INSERT INTO person (name, is_operator) VALUES (?1, ?2)", params![name, is_operator])?;
    Ok(PersonId(db.last_insert_rowid()))
}

/// The owner of a new account is always a new person: one who exists already must not gain rights by a name.
fn new_owner(db: &Connection, account: &str) -> rusqlite::Result<PersonId> {
    for name in owner_names(account) {
        let is_taken = db.query_row("SELECT 1 FROM person WHERE name = ?1", [&name], |_| Ok(())).optional()?.is_some();
        if !is_taken {
            return insert_person(db, &name, false);
        }
    }
    Err(rusqlite::Error::QueryReturnedNoRows)
}

fn create(db: &Connection, new: &NewAccount, change: &Change) -> Changed<(AccountId, EndpointId)> {
    let name = new.name.as_str();
    let known =
        db.query_row("SELECT id FROM account WHERE name = ?1", [name], |row| row.get::<_, i64>(0)).optional()?;
    if known.is_some() {
        return Err(AccountError::NameTaken(new.name.clone()));
    }
    if !server_of(db, &new.host)?.is_empty() || is_dynamic_name_of_others(db, &new.host, AccountId(0))? {
        return Err(AccountError::DomainTaken(new.host.clone()));
    }
    if retired::is_anothers(db, &new.host, None)? {
        return Err(AccountError::NameRetired(new.host.clone()));
    }
    retired::recall(db, &new.host)?;
    db.execute(
        "INSERT INTO account (name, status, created_at) VALUES (?1, 'active', ?2)",
        params![name, row::stored_time(change.at)],
    )?;
    let account = AccountId(db.last_insert_rowid());
    db.execute(
        "INSERT INTO endpoint (account, host, smtp_port) VALUES (?1, ?2, ?3)",
        params![account.0, new.host.as_str(), new.smtp_port],
    )?;
    let endpoint = EndpointId(db.last_insert_rowid());
    for domain in &new.domains {
        insert_domain(db, account, domain, &[endpoint])?;
    }
    insert_key(db, &new.key, endpoint)?;
    let owner = new_owner(db, name)?;
    insert_membership(db, owner, account, Role::Owner)?;
    audit(db, change, Some(account), &format!("account.add {name}"))?;
    Ok((account, endpoint))
}

fn remove(db: &Connection, account: AccountId, change: &Change) -> Changed<()> {
    let name = account_name(db, account)?;
    let held: i64 = db.query_row(
        "SELECT count(DISTINCT message) FROM recipient WHERE account = ?1 AND state <> 'delivered'",
        [account.0],
        |row| row.get(0),
    )?;
    if held > 0 {
        return Err(AccountError::MailHeld { messages: row::count(held) });
    }
    let messages: Vec<i64> = db
        .prepare("SELECT DISTINCT message FROM recipient WHERE account = ?1 AND state = 'delivered'")?
        .query_map([account.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for message in messages {
        db.prepare_cached("DELETE FROM recipient WHERE message = ?1 AND account = ?2")?
            .execute(params![message, account.0])?;
        db.prepare_cached(
            "DELETE FROM message WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?1)",
        )?
        .execute([message])?;
    }
    retired::retire_all_names(db, account, change.at)?;
    // Somebody who belongs nowhere else goes too: a later account of the same name must not inherit a sign-in.
    db.execute(
        "DELETE FROM person WHERE is_operator = 0
           AND id IN (SELECT person FROM membership WHERE account = ?1)
           AND id NOT IN (SELECT person FROM membership WHERE account <> ?1)",
        [account.0],
    )?;
    db.execute("DELETE FROM account WHERE id = ?1", [account.0])?;
    audit(db, change, Some(account), &format!("account.remove {name}"))?;
    Ok(())
}

fn set_status(db: &Connection, account: AccountId, status: AccountStatus, change: &Change) -> Changed<()> {
    let name = account_name(db, account)?;
    let changed = db.execute(
        "UPDATE account SET status = ?2, status_since = ?3 WHERE id = ?1 AND status <> ?2",
        params![account.0, status.as_str(), row::stored_time(change.at)],
    )?;
    if changed > 0 {
        audit(db, change, Some(account), &format!("account.status {name} {}", status.as_str()))?;
    }
    Ok(())
}

fn set_online_mode(db: &Connection, account: AccountId, mode: Option<OnlineMode>, change: &Change) -> Changed<()> {
    let name = account_name(db, account)?;
    let mode = mode.map(OnlineMode::as_str);
    let changed = db.execute(
        "UPDATE account SET online_mode = ?2 WHERE id = ?1 AND online_mode IS NOT ?2",
        params![account.0, mode],
    )?;
    if changed > 0 {
        audit(db, change, Some(account), &format!("account.online {name} {}", mode.unwrap_or("default")))?;
    }
    Ok(())
}

fn rotate(db: &Connection, key: &BeatKeyRecord, old_keys_expire_at: WallTime, change: &Change) -> Changed<()> {
    let endpoint = key.endpoint;
    let account: i64 = db
        .query_row("SELECT account FROM endpoint WHERE id = ?1", [endpoint.0], |row| row.get(0))
        .optional()?
        .ok_or(AccountError::NoAccount)?;
    db.execute(
        "UPDATE beat_key SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE endpoint = ?1",
        params![endpoint.0, row::stored_time(old_keys_expire_at)],
    )?;
    insert_key(db, key, endpoint)?;
    audit(db, change, Some(AccountId(account)), &format!("key.rotate endpoint {endpoint}"))?;
    Ok(())
}

fn insert_membership(db: &Connection, person: PersonId, account: AccountId, role: Role) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO membership (person, account, role) VALUES (?1, ?2, ?3)
         ON CONFLICT (person, account) DO UPDATE SET role = excluded.role",
        params![person.0, account.0, account_read::role_word(role)],
    )
    .map(drop)
}

pub(super) fn person_name(db: &Connection, person: PersonId) -> Changed<String> {
    db.query_row("SELECT name FROM person WHERE id = ?1", [person.0], |row| row.get(0))
        .optional()?
        .ok_or_else(|| Misuse("there is no such person").into())
}

/// A link that is known by its hash already is a collision of random values.
fn insert_link(db: &Connection, link: &SignInLink, change: &Change) -> Changed<()> {
    let name = person_name(db, link.person)?;
    let inserted = db.execute(
        "INSERT INTO sign_in_link (secret_hash, person, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![link.secret_hash, link.person.0, row::stored_time(link.expires_at)],
    )?;
    if inserted == 0 {
        return Err(AccountError::LinkSpent);
    }
    audit(db, change, None, &format!("link.add {name}"))?;
    Ok(())
}

fn redeem(db: &Connection, link: [u8; 32], session: [u8; 32], ends: WallTime, now: WallTime) -> Changed<PersonId> {
    let stored_now = row::stored_time(now);
    let person: i64 = db
        .query_row(
            "DELETE FROM sign_in_link WHERE secret_hash = ?1 AND expires_at > ?2 RETURNING person",
            params![link, stored_now],
            |row| row.get(0),
        )
        .optional()?
        .ok_or(AccountError::LinkSpent)?;
    // Keeps both tables as short as what is still valid.
    db.execute("DELETE FROM sign_in_link WHERE expires_at <= ?1", [stored_now])?;
    db.execute("DELETE FROM web_session WHERE expires_at <= ?1", [stored_now])?;
    let inserted = db.execute(
        "INSERT INTO web_session (secret_hash, person, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![session, person, row::stored_time(ends)],
    )?;
    if inserted == 0 {
        return Err(AccountError::LinkSpent);
    }
    let person = PersonId(person);
    let change = Change { at: now, who: person_name(db, person)? };
    audit(db, &change, None, "session.open")?;
    Ok(person)
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn load_directory(&self, now: WallTime) -> Changed<Directory> {
        self.read(move |db| Ok(account_read::directory(db, now)?)).await
    }

    async fn create_account(&self, new: NewAccount, change: Change) -> Changed<(AccountId, EndpointId)> {
        self.write(Terms::SYNCED, move |work| create(work.connection, &new, &change)).await
    }

    async fn set_status(&self, account: AccountId, status: AccountStatus, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| set_status(work.connection, account, status, &change)).await
    }

    async fn set_online_mode(&self, account: AccountId, mode: Option<OnlineMode>, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| set_online_mode(work.connection, account, mode, &change)).await
    }

    async fn remove_account(&self, account: AccountId, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| remove(work.connection, account, &change)).await
    }

    async fn add_domain(
        &self,
        account: AccountId,
        domain: DomainName,
        endpoints: Vec<EndpointId>,
        change: Change,
    ) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            account_name(work.connection, account)?;
            insert_domain(work.connection, account, &domain, &endpoints)?;
            Ok(audit(work.connection, &change, Some(account), &format!("domain.add {domain}"))?)
        })
        .await
    }

    async fn remove_domain(&self, account: AccountId, domain: DomainName, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            account_name(work.connection, account)?;
            let removed = work
                .connection
                .execute("DELETE FROM domain WHERE name = ?1 AND account = ?2", params![domain.as_str(), account.0])?;
            if removed == 0 {
                return Err(AccountError::NoDomain(domain));
            }
            recipient::forget_domain(work.connection, account, &domain)?;
            retired::retire_domain(work.connection, &domain, account, change.at + LEAVING_FOR)?;
            Ok(audit(work.connection, &change, Some(account), &format!("domain.remove {domain}"))?)
        })
        .await
    }

    async fn rotate_key(&self, key: BeatKeyRecord, old_keys_expire_at: WallTime, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| rotate(work.connection, &key, old_keys_expire_at, &change)).await
    }

    async fn set_pin(&self, endpoint: EndpointId, pin: Option<[u8; 32]>, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let account: Option<i64> = db
                .prepare_cached("UPDATE endpoint SET pin = ?2 WHERE id = ?1 RETURNING account")?
                .query_row(params![endpoint.0, pin], |row| row.get(0))
                .optional()?;
            let account = account.map(AccountId).ok_or(AccountError::NoAccount)?;
            let key = pin.map_or_else(|| "none".to_owned(), |key| data_encoding::HEXLOWER.encode(&key));
            Ok(audit(db, &change, Some(account), &format!("endpoint.pin {endpoint} {key}"))?)
        })
        .await
    }

    async fn set_preferences(
        &self,
        account: AccountId,
        preferences: Preferences,
        what: String,
        change: Change,
    ) -> Changed<()> {
        let settings = serde_json::to_string(&preferences).map_err(|error| AccountError::Engine(Box::new(error)))?;
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            if !db.prepare_cached("SELECT 1 FROM account WHERE id = ?1")?.exists([account.0])? {
                return Err(AccountError::NoAccount);
            }
            db.prepare_cached(
                "INSERT INTO preference (account, settings) VALUES (?1, ?2)
                 ON CONFLICT (account) DO UPDATE SET settings = excluded.settings",
            )?
            .execute(params![account.0, settings])?;
            Ok(audit(db, &change, Some(account), &what)?)
        })
        .await
    }

    async fn set_manners(&self, endpoint: EndpointId, manners: Manners) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let changed = work
                .connection
                .prepare_cached("UPDATE endpoint SET size_max = ?2, eight_bit_mime = ?3, smtputf8 = ?4 WHERE id = ?1")?
                .execute(params![
                    endpoint.0,
                    manners.octets_max.map(row::stored_count),
                    manners.eight_bit_mime,
                    manners.smtputf8
                ])?;
            if changed == 0 { Err(AccountError::NoAccount) } else { Ok(()) }
        })
        .await
    }

    async fn ensure_person(&self, name: &str, is_operator: bool, change: Change) -> Changed<PersonId> {
        let name = name.to_owned();
        self.write(Terms::SYNCED, move |work| {
            let (person, is_new) = person_named(work.connection, &name, is_operator)?;
            if is_new {
                audit(work.connection, &change, None, &format!("person.add {name}"))?;
            }
            Ok(person)
        })
        .await
    }

    async fn owner_of(&self, account: AccountId) -> Changed<Option<PersonId>> {
        self.read(move |db| Ok(account_read::owner(db, account)?)).await
    }

    async fn person(&self, person: PersonId) -> Changed<Option<(Person, Vec<Membership>)>> {
        self.read(move |db| Ok(account_read::person(db, person)?)).await
    }

    async fn set_membership(&self, person: PersonId, account: AccountId, role: Role, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            account_name(work.connection, account)?;
            let name = person_name(work.connection, person)?;
            insert_membership(work.connection, person, account, role)?;
            let what = format!("membership.set {name} {}", account_read::role_word(role));
            Ok(audit(work.connection, &change, Some(account), &what)?)
        })
        .await
    }

    async fn add_link(&self, link: SignInLink, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| insert_link(work.connection, &link, &change)).await
    }

    async fn redeem_link(
        &self,
        link_hash: [u8; 32],
        session_hash: [u8; 32],
        session_expires_at: WallTime,
        now: WallTime,
    ) -> Changed<PersonId> {
        // Anybody may post a guess; guesses are turned away by a read, so that they do not queue before the mail.
        let known = self
            .read(move |db| {
                let question = "SELECT 1 FROM sign_in_link WHERE secret_hash = ?1";
                Ok::<bool, AccountError>(db.query_row(question, [link_hash], |_| Ok(())).optional()?.is_some())
            })
            .await?;
        if !known {
            return Err(AccountError::LinkSpent);
        }
        self.write(Terms::SYNCED, move |work| redeem(work.connection, link_hash, session_hash, session_expires_at, now))
            .await
    }

    async fn session(&self, secret_hash: [u8; 32], now: WallTime) -> Changed<Option<WebSession>> {
        self.read(move |db| Ok(account_read::session(db, secret_hash, now)?)).await
    }

    async fn end_session(&self, secret_hash: [u8; 32]) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            work.connection.execute("DELETE FROM web_session WHERE secret_hash = ?1", [secret_hash])?;
            Ok(())
        })
        .await
    }

    async fn note(&self, what: String, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| Ok(audit(work.connection, &change, None, &what)?)).await
    }

    async fn note_of(&self, account: AccountId, what: String, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| Ok(audit(work.connection, &change, Some(account), &what)?)).await
    }

    async fn audit(&self, account: Option<AccountId>, limit: u32) -> Changed<Vec<AuditEntry>> {
        self.read(move |db| Ok(account_read::audit_rows(db, account, limit)?)).await
    }
}
