//! Passkeys of people.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::account::person_name;
use super::job::Terms;
use super::people::{audit_of_person, insert_session};
use super::row::{self, readable};
use crate::account::passkey::{PASSKEYS_MAX, counts_on};
use crate::account::{AccountError, Change, NewSession, Passkey, PasskeyStore};
use crate::base::PersonId;

type Changed<T> = Result<T, AccountError>;

fn passkey(row: &Row<'_>) -> rusqlite::Result<Passkey> {
    Ok(Passkey {
        credential: row.get(0)?,
        person: PersonId(row.get(1)?),
        public_key: row.get(2)?,
        counter: row.get(3)?,
        name: row.get(4)?,
        made_at: row::time(row.get(5)?),
        used_at: row.get::<_, Option<i64>>(6)?.map(row::time),
    })
}

fn find(db: &Connection, credential: &[u8]) -> rusqlite::Result<Option<Passkey>> {
    db.prepare_cached(
        "SELECT credential, person, public_key, counter, name, made_at, used_at FROM passkey WHERE credential = ?1",
    )?
    .query_row([credential], passkey)
    .optional()
}

#[async_trait]
impl PasskeyStore for SqliteStore {
    async fn add_passkey(&self, new: Passkey, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            person_name(db, new.person)?;
            let count: i64 =
                db.query_row("SELECT count(*) FROM passkey WHERE person = ?1", [new.person.0], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= PASSKEYS_MAX {
                return Err(AccountError::LinkSpent);
            }
            let inserted = db.execute(
                "INSERT INTO passkey (credential, person, public_key, counter, name, made_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    new.credential,
                    new.person.0,
                    new.public_key,
                    new.counter,
                    new.name,
                    row::stored_time(new.made_at)
                ],
            )?;
            if inserted == 0 {
                return Err(AccountError::LinkSpent);
            }
            Ok(audit_of_person(db, &change, new.person, &format!("passkey.add {}", new.name))?)
        })
        .await
    }

    async fn passkeys_of(&self, person: PersonId) -> Changed<Vec<Passkey>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT credential, person, public_key, counter, name, made_at, used_at FROM passkey
                 WHERE person = ?1 ORDER BY made_at, credential",
            )?;
            let rows = statement.query_map([person.0], passkey)?;
            Ok(readable("passkey", rows)?)
        })
        .await
    }

    async fn passkey(&self, credential: Vec<u8>) -> Changed<Option<Passkey>> {
        self.read(move |db| Ok(find(db, &credential)?)).await
    }

    async fn open_passkey_session(
        &self,
        new: NewSession,
        credential: Vec<u8>,
        counter: u32,
        change: Change,
    ) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let known = find(db, &credential)?.filter(|known| known.person == new.person);
            let Some(known) = known.filter(|known| counts_on(known.counter, counter)) else {
                return Err(AccountError::LinkSpent);
            };
            insert_session(db, &new, &change)?;
            db.execute(
                "UPDATE passkey SET counter = ?2, used_at = ?3 WHERE credential = ?1",
                params![credential, counter, row::stored_time(change.at)],
            )?;
            Ok(audit_of_person(db, &change, new.person, &format!("session.passkey {}", known.name))?)
        })
        .await
    }

    async fn remove_passkey(&self, person: PersonId, credential: Vec<u8>, change: Change) -> Changed<bool> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let Some(known) = find(db, &credential)?.filter(|known| known.person == person) else { return Ok(false) };
            db.execute("DELETE FROM passkey WHERE credential = ?1", [credential])?;
            audit_of_person(db, &change, person, &format!("passkey.remove {}", known.name))?;
            Ok(true)
        })
        .await
    }
}
