//! Sessions, choices and passwords of people, and public pages of accounts.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::account::{account_name, audit, person_name};
use super::job::Terms;
use super::row::{self, parsed_optional, readable};
use crate::account::people::AGENT_CHARS_MAX;
use crate::account::{AccountError, Change, Choice, NewSession, OpenSession, PeopleStore, Publication, Seen, Tongue};
use crate::base::{AccountId, PersonId, WallTime};

type Changed<T> = Result<T, AccountError>;

/// One audit row for each account of the person; one without an account for who has none.
pub(super) fn audit_of_person(db: &Connection, change: &Change, person: PersonId, what: &str) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("SELECT account FROM membership WHERE person = ?1 ORDER BY account")?;
    let places: Vec<i64> = statement.query_map([person.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if places.is_empty() {
        return audit(db, change, None, what);
    }
    places.into_iter().try_for_each(|account| audit(db, change, Some(AccountId(account)), what))
}

/// A session that was not there before.
pub(super) fn insert_session(db: &Connection, new: &NewSession, change: &Change) -> Changed<()> {
    person_name(db, new.person)?;
    db.execute("DELETE FROM web_session WHERE expires_at <= ?1", [row::stored_time(change.at)])?;
    let inserted = db.execute(
        "INSERT INTO web_session (secret_hash, person, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![new.secret_hash, new.person.0, row::stored_time(new.expires_at)],
    )?;
    if inserted == 0 { Err(AccountError::LinkSpent) } else { Ok(()) }
}

fn choice(db: &Connection, person: PersonId) -> rusqlite::Result<Choice> {
    let chosen = db
        .prepare_cached("SELECT tongue, zone FROM person_choice WHERE person = ?1")?
        .query_row([person.0], |row| {
            Ok(Choice { tongue: parsed_optional::<Tongue>(row, 0)?, zone: parsed_optional::<chrono_tz::Tz>(row, 1)? })
        })
        .optional();
    // A zone that a later version took out of the database is as good as none.
    Ok(row::keep_readable("person_choice", chosen)?.flatten().unwrap_or_default())
}

fn sessions(db: &Connection, person: PersonId, now: WallTime) -> rusqlite::Result<Vec<OpenSession>> {
    let mut statement = db.prepare_cached(
        "SELECT secret_hash, expires_at, made_at, seen_at, agent, address FROM web_session
         WHERE person = ?1 AND expires_at > ?2 ORDER BY seen_at DESC NULLS LAST, secret_hash",
    )?;
    let rows = statement.query_map(params![person.0, row::stored_time(now)], |row| {
        let seen_at: Option<i64> = row.get(3)?;
        let agent: Option<String> = row.get(4)?;
        let address = parsed_optional(row, 5)?;
        let seen = seen_at.zip(agent).zip(address);
        Ok(OpenSession {
            secret_hash: row.get(0)?,
            expires_at: row::time(row.get(1)?),
            made_at: row.get::<_, Option<i64>>(2)?.map(row::time),
            seen: seen.map(|((at, agent), address)| Seen { at: row::time(at), agent, address }),
        })
    })?;
    readable("web_session", rows)
}

fn set_publication(
    db: &Connection,
    account: AccountId,
    publication: Option<&Publication>,
    change: &Change,
) -> Changed<()> {
    account_name(db, account)?;
    let removed = db.execute("DELETE FROM publication WHERE account = ?1", [account.0])?;
    let what = match publication {
        Some(new) => {
            db.execute(
                "INSERT INTO publication (account, page_id, badge_id) VALUES (?1, ?2, ?3)",
                params![account.0, new.page_id, new.badge_id],
            )?;
            "public.on"
        }
        None if removed == 0 => return Ok(()),
        None => "public.off",
    };
    Ok(audit(db, change, Some(account), what)?)
}

#[async_trait]
impl PeopleStore for SqliteStore {
    async fn open_session(&self, new: NewSession, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            insert_session(db, &new, &change)?;
            Ok(audit_of_person(db, &change, new.person, "session.password")?)
        })
        .await
    }

    async fn see_session(&self, secret_hash: [u8; 32], seen: Seen) -> Changed<()> {
        let agent: String = seen.agent.chars().take(AGENT_CHARS_MAX).collect();
        // A use that a power cut makes forgotten harms nobody.
        self.write(Terms::LAZY, move |work| {
            work.connection
                .prepare_cached(
                    "UPDATE web_session SET made_at = coalesce(made_at, CASE WHEN seen_at IS NULL THEN ?2 END),
                     seen_at = ?2, agent = ?3, address = ?4 WHERE secret_hash = ?1",
                )?
                .execute(params![secret_hash, row::stored_time(seen.at), agent, seen.address.to_string()])?;
            Ok(())
        })
        .await
    }

    async fn sessions_of(&self, person: PersonId, now: WallTime) -> Changed<Vec<OpenSession>> {
        self.read(move |db| Ok(sessions(db, person, now)?)).await
    }

    async fn end_sessions(&self, person: PersonId, which: Vec<[u8; 32]>, change: Change) -> Changed<u64> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let mut ended = 0;
            for hash in &which {
                ended += db
                    .prepare_cached("DELETE FROM web_session WHERE secret_hash = ?1 AND person = ?2")?
                    .execute(params![hash, person.0])?;
            }
            if ended > 0 {
                audit_of_person(db, &change, person, &format!("session.end {ended}"))?;
            }
            Ok(ended as u64)
        })
        .await
    }

    async fn choice_of(&self, person: PersonId) -> Changed<Choice> {
        self.read(move |db| Ok(choice(db, person)?)).await
    }

    async fn set_choice(&self, person: PersonId, new: Choice, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            person_name(db, person)?;
            if choice(db, person)? == new {
                return Ok(());
            }
            let (tongue, zone) = (new.tongue.map(Tongue::as_str), new.zone.map(chrono_tz::Tz::name));
            db.execute(
                "INSERT INTO person_choice (person, tongue, zone) VALUES (?1, ?2, ?3)
                 ON CONFLICT (person) DO UPDATE SET tongue = excluded.tongue, zone = excluded.zone",
                params![person.0, tongue, zone],
            )?;
            let what = format!("person.choice {} {}", tongue.unwrap_or("auto"), zone.unwrap_or("auto"));
            Ok(audit_of_person(db, &change, person, &what)?)
        })
        .await
    }

    async fn password_of(&self, name: &str) -> Changed<Option<(PersonId, String)>> {
        let name = name.to_owned();
        self.read(move |db| {
            let known = db
                .prepare_cached(
                    "SELECT p.id, w.hash FROM person AS p JOIN person_password AS w ON w.person = p.id
                     WHERE p.name IN (?1, ?1 || ' (owner)') ORDER BY length(p.name) LIMIT 1",
                )?
                .query_row([name], |row| Ok((PersonId(row.get(0)?), row.get(1)?)))
                .optional()?;
            Ok(known)
        })
        .await
    }

    async fn has_password(&self, person: PersonId) -> Changed<bool> {
        self.read(move |db| {
            Ok(db.prepare_cached("SELECT 1 FROM person_password WHERE person = ?1")?.exists([person.0])?)
        })
        .await
    }

    async fn set_password(
        &self,
        person: PersonId,
        hash: Option<String>,
        keep: [u8; 32],
        change: Change,
    ) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            person_name(db, person)?;
            let what = match &hash {
                Some(hash) => {
                    db.execute(
                        "INSERT INTO person_password (person, hash) VALUES (?1, ?2)
                         ON CONFLICT (person) DO UPDATE SET hash = excluded.hash",
                        params![person.0, hash],
                    )?;
                    "password.set"
                }
                None => {
                    db.execute("DELETE FROM person_password WHERE person = ?1", [person.0])?;
                    "password.remove"
                }
            };
            db.execute("DELETE FROM web_session WHERE person = ?1 AND secret_hash <> ?2", params![person.0, keep])?;
            Ok(audit_of_person(db, &change, person, what)?)
        })
        .await
    }

    async fn publication(&self, account: AccountId) -> Changed<Option<Publication>> {
        self.read(move |db| {
            let known = db
                .prepare_cached("SELECT page_id, badge_id FROM publication WHERE account = ?1")?
                .query_row([account.0], |row| Ok(Publication { page_id: row.get(0)?, badge_id: row.get(1)? }))
                .optional()?;
            Ok(known)
        })
        .await
    }

    async fn set_publication(
        &self,
        account: AccountId,
        publication: Option<Publication>,
        change: Change,
    ) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| set_publication(work.connection, account, publication.as_ref(), &change))
            .await
    }

    async fn published_page(&self, page_id: &str) -> Changed<Option<AccountId>> {
        let id = page_id.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached("SELECT account FROM publication WHERE page_id = ?1")?;
            Ok(statement.query_row([id], |row| row.get(0)).optional()?.map(AccountId))
        })
        .await
    }

    async fn published_badge(&self, badge_id: &str) -> Changed<Option<AccountId>> {
        let id = badge_id.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached("SELECT account FROM publication WHERE badge_id = ?1")?;
            Ok(statement.query_row([id], |row| row.get(0)).optional()?.map(AccountId))
        })
        .await
    }
}
