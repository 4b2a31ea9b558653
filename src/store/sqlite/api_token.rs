//! Tokens of the API.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::error::WriteFailure;
use super::job::Terms;
use super::row::{self, parsed, readable};
use crate::account::api_token::Rotation;
use crate::account::token_office::require_place;
use crate::account::{ApiToken, ApiTokenError, ApiTokenId, ApiTokenStore, Change, Scopes};
use crate::base::{AccountId, WallTime};

type Changed<T> = Result<T, ApiTokenError>;

/// The columns that [`token`] reads, in its order.
const COLUMNS: &str = "SELECT id, account, label, scopes, verifier, old_verifier, old_until, made_by, created_at,
                              rotated_at, expires_at, last_used_at FROM api_token";

impl From<rusqlite::Error> for ApiTokenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<WriteFailure> for ApiTokenError {
    fn from(failure: WriteFailure) -> Self {
        Self::Engine(Box::new(failure))
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(row::time));
    let old: Option<[u8; 32]> = row.get(5)?;
    Ok(ApiToken {
        id: parsed(row, 0, str::parse)?,
        account: AccountId(row.get(1)?),
        label: row.get(2)?,
        scopes: parsed(row, 3, Scopes::parse)?,
        verifier: row.get(4)?,
        old: old.zip(time(6)?),
        made_by: row.get(7)?,
        created_at: row::time(row.get(8)?),
        rotated_at: time(9)?,
        expires_at: time(10)?,
        last_used_at: time(11)?,
    })
}

fn insert(db: &Connection, token: &ApiToken, change: &Change) -> Changed<()> {
    db.query_row("SELECT 1 FROM account WHERE id = ?1", [token.account.0], |_| Ok(()))
        .optional()?
        .ok_or(ApiTokenError::NoAccount)?;
    let count = "SELECT count(*) FROM api_token WHERE account = ?1";
    let count: i64 = db.query_row(count, [token.account.0], |row| row.get(0))?;
    require_place(usize::try_from(count).unwrap_or(usize::MAX))?;
    db.execute(
        "INSERT INTO api_token (id, account, label, scopes, verifier, old_verifier, old_until, made_by, created_at,
                                rotated_at, expires_at, last_used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            token.id.as_str(),
            token.account.0,
            token.label,
            token.scopes.to_string(),
            token.verifier,
            token.old.map(|(image, _)| image),
            token.old.map(|(_, until)| row::stored_time(until)),
            token.made_by,
            row::stored_time(token.created_at),
            token.rotated_at.map(row::stored_time),
            token.expires_at.map(row::stored_time),
            token.last_used_at.map(row::stored_time)
        ],
    )?;
    let what = format!("api_token.add {} {} {}", token.id, token.scopes, token.label);
    Ok(audit(db, change, Some(token.account), &what)?)
}

fn rotate(
    db: &Connection,
    account: AccountId,
    id: &ApiTokenId,
    rotation: Rotation,
    change: &Change,
) -> Changed<ApiToken> {
    let changed = db.execute(
        "UPDATE api_token SET old_verifier = verifier, old_until = ?3, verifier = ?4, rotated_at = ?5
         WHERE id = ?1 AND account = ?2",
        params![
            id.as_str(),
            account.0,
            row::stored_time(rotation.old_until),
            rotation.verifier,
            row::stored_time(change.at)
        ],
    )?;
    if changed == 0 {
        return Err(ApiTokenError::NoToken(id.clone()));
    }
    audit(db, change, Some(account), &format!("api_token.rotate {id}"))?;
    Ok(db.query_row(&format!("{COLUMNS} WHERE id = ?1"), [id.as_str()], token)?)
}

#[async_trait]
impl ApiTokenStore for SqliteStore {
    async fn api_tokens(&self) -> Changed<Vec<ApiToken>> {
        self.read(|db| {
            let mut rows = db.prepare_cached(&format!("{COLUMNS} ORDER BY created_at, id"))?;
            Ok(readable("api_token", rows.query_map([], token)?)?)
        })
        .await
    }

    async fn add_api_token(&self, token: ApiToken, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| insert(work.connection, &token, &change)).await
    }

    async fn rotate_api_token(
        &self,
        account: AccountId,
        id: ApiTokenId,
        rotation: Rotation,
        change: Change,
    ) -> Changed<ApiToken> {
        self.write(Terms::SYNCED, move |work| rotate(work.connection, account, &id, rotation, &change)).await
    }

    async fn revoke_api_token(&self, account: AccountId, id: ApiTokenId, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| {
            let db = work.connection;
            let removed =
                db.execute("DELETE FROM api_token WHERE id = ?1 AND account = ?2", params![id.as_str(), account.0])?;
            if removed == 0 {
                return Err(ApiTokenError::NoToken(id));
            }
            Ok(audit(db, &change, Some(account), &format!("api_token.revoke {id}"))?)
        })
        .await
    }

    async fn use_api_token(&self, id: ApiTokenId, at: WallTime) -> Changed<()> {
        self.write(Terms::LAZY, move |work| {
            work.connection.execute(
                "UPDATE api_token SET last_used_at = ?2 WHERE id = ?1",
                params![id.as_str(), row::stored_time(at)],
            )?;
            Ok(())
        })
        .await
    }
}
