//! Attempts and notices, written in the transaction of the outcome they speak of.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{self, parsed, readable};
use crate::base::{AccountId, SpoolId, WallTime};
use crate::spool::notice::{attempt_word, is_attempt_kept, notice_of};
use crate::spool::{AttemptRow, DeliveryReply, NoticeKind, NoticeRow, Notify, Outcome, RecipientState, Trace, Via};

/// A report was taken: keeps the attempt, and what there is to tell. `states`: before and after it.
pub(super) fn ended(
    db: &Connection,
    message: i64,
    ordinal: u32,
    (before, after): (RecipientState, RecipientState),
    (outcome, via): (&Outcome, Option<&Via>),
    now: WallTime,
) -> rusqlite::Result<()> {
    let Some((word, reply)) = attempt_word(outcome).filter(|_| before != after) else { return Ok(()) };
    let (number, notify) = db
        .prepare_cached("SELECT attempts, dsn_notify FROM recipient WHERE message = ?1 AND ordinal = ?2")?
        .query_row(params![message, ordinal], |row| {
            // An odd word must not hold up an outcome: nothing is told of success then.
            let notify = row.get::<_, Option<String>>(1)?.and_then(|word| word.parse::<Notify>().ok());
            Ok((row.get::<_, u32>(0)?, notify))
        })?;
    if is_attempt_kept(number, outcome) {
        db.prepare_cached(
            "INSERT OR REPLACE INTO attempt (message, ordinal, number, at, result, code, reply, peer, tls, proof)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            message,
            ordinal,
            number,
            row::stored_time(now),
            word,
            reply.code,
            reply.text,
            via.map(|via| via.peer.to_string()),
            via.and_then(|via| via.tls.as_deref()),
            via.map(|via| via.proof.as_str())
        ])?;
    }
    match notice_of(after, notify, via) {
        Some(kind) => insert(db, message, ordinal, kind, now),
        None => Ok(()),
    }
}

/// A person or time moved a recipient to another state.
pub(super) fn ruled(
    db: &Connection,
    message: i64,
    ordinal: u32,
    to: RecipientState,
    now: WallTime,
) -> rusqlite::Result<()> {
    match notice_of(to, None, None) {
        Some(kind) => insert(db, message, ordinal, kind, now),
        None => db
            .prepare_cached(
                "DELETE FROM notice WHERE message = ?1 AND ordinal = ?2 AND kind = 'failed' AND done_at IS NULL",
            )?
            .execute(params![message, ordinal])
            .map(drop),
    }
}

/// Recipients of an account are tried again: no failure of theirs is told that was not told yet.
pub(super) fn tried_again(db: &Connection, message: i64, account: AccountId) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM notice WHERE message = ?1 AND kind = 'failed' AND done_at IS NULL AND ordinal IN (
             SELECT ordinal FROM recipient WHERE message = ?1 AND account = ?2 AND state = 'queued')",
    )?
    .execute(params![message, account.0])
    .map(drop)
}

fn insert(db: &Connection, message: i64, ordinal: u32, kind: NoticeKind, now: WallTime) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO notice (message, ordinal, kind, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![message, ordinal, kind.as_str(), row::stored_time(now)])
        .map(drop)
}

/// Everything of one message.
pub(super) fn trace(db: &Connection, id: SpoolId) -> rusqlite::Result<Trace> {
    let mut statement = db.prepare_cached(
        "SELECT ordinal, number, at, result, code, reply, peer, tls, proof FROM attempt WHERE message = ?1
         ORDER BY at, ordinal, number",
    )?;
    let attempts = statement.query_map([id.as_i64()], |row| {
        Ok(AttemptRow {
            ordinal: row.get(0)?,
            number: row.get(1)?,
            at: row::time(row.get(2)?),
            result: row.get(3)?,
            reply: DeliveryReply { code: row.get(4)?, text: row.get(5)? },
            peer: row.get(6)?,
            tls: row.get(7)?,
            proof: row.get(8)?,
        })
    })?;
    let attempts = readable("attempt", attempts)?;
    let mut statement = db.prepare_cached(
        "SELECT ordinal, kind, at, done_at, result FROM notice WHERE message = ?1 ORDER BY ordinal, at",
    )?;
    let notices = statement.query_map([id.as_i64()], |row| {
        let done_at: Option<i64> = row.get(3)?;
        let result: Option<String> = row.get(4)?;
        Ok(NoticeRow {
            ordinal: row.get(0)?,
            kind: parsed(row, 1, str::parse)?,
            at: row::time(row.get(2)?),
            done: done_at.map(|at| (row::time(at), result.unwrap_or_default())),
        })
    })?;
    Ok(Trace { attempts, notices: readable("notice", notices)? })
}

/// Whether a notice is still open.
pub(super) fn is_open(db: &Connection, message: i64, ordinal: u32, kind: NoticeKind) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM notice WHERE message = ?1 AND ordinal = ?2 AND kind = ?3 AND done_at IS NULL")?
        .query_row(params![message, ordinal, kind.as_str()], |_| Ok(()))
        .optional()
        .map(|row| row.is_some())
}

/// Decides a notice.
pub(super) fn conclude(
    db: &Connection,
    message: i64,
    (ordinal, kind): (u32, NoticeKind),
    result: &str,
    now: WallTime,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE notice SET done_at = ?4, result = ?5
         WHERE message = ?1 AND ordinal = ?2 AND kind = ?3 AND done_at IS NULL",
    )?
    .execute(params![message, ordinal, kind.as_str(), row::stored_time(now), result])
    .map(drop)
}
