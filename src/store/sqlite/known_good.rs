//! Which recipients a primary took before: learned from deliveries, forgotten with a refusal or after long silence.
//!
//! The mailbox is compared in lower case (ASCII), for knowledge only: on the wire it stays as it was.

use rusqlite::{Connection, params};

use super::row;
use crate::base::WallTime;

/// A recipient that was seen within this time is not written again.
const SEEN_AGAIN_NS: i64 = 86_400 * 1_000_000_000;

/// Recipients that one sweep forgets, at most.
pub(super) const FORGET_BATCH: u64 = 1_000;

/// The primary took it.
pub(super) fn learn(db: &Connection, message: i64, ordinal: u32, now: WallTime) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO known_good (account, mailbox, seen_at)
         SELECT account, lower(mailbox), ?3 FROM recipient WHERE message = ?1 AND ordinal = ?2
         ON CONFLICT (account, mailbox) DO UPDATE SET seen_at = excluded.seen_at
             WHERE known_good.seen_at < excluded.seen_at - ?4",
    )?
    .execute(params![message, ordinal, row::stored_time(now), SEEN_AGAIN_NS])
    .map(drop)
}

/// The primary refused it for good.
pub(super) fn forget(db: &Connection, message: i64, ordinal: u32) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM known_good
           WHERE account = (SELECT account FROM recipient WHERE message = ?1 AND ordinal = ?2)
             AND mailbox = (SELECT lower(mailbox) FROM recipient WHERE message = ?1 AND ordinal = ?2)",
    )?
    .execute(params![message, ordinal])
    .map(drop)
}

/// Forgets a batch of those that were seen last before. Returns how many; a full batch means there may be more.
pub(super) fn forget_old(db: &Connection, seen_before: WallTime) -> rusqlite::Result<u64> {
    let gone = db
        .prepare_cached(
            "DELETE FROM known_good WHERE (account, mailbox) IN (
                 SELECT account, mailbox FROM known_good WHERE seen_at < ?1 LIMIT ?2)",
        )?
        .execute(params![row::stored_time(seen_before), row::stored_count(FORGET_BATCH)])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
