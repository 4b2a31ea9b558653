//! Messages that went to the primary while their sender waited: those that it took, and those of which it has not said
//! so yet.

use rusqlite::params;

use super::error::Misuse;
use super::job::Work;
use super::spool_intake::{commit, count_accepted, delete_chunks, insert_message, insert_recipients};
use super::{row, spool_report};
use crate::base::WallTime;
use crate::spool::{CommitError, DeliveryReply, DotNote, NewMessage, SpoolError};

/// Makes the message ours, in the hands of whoever awaits the primary's reply to its dot.
pub(super) fn commit_awaited(work: &mut Work<'_>, message: &NewMessage, note: &DotNote) -> Result<(), CommitError> {
    commit(work, message)?;
    *work.claims += 1;
    work.connection
        .prepare_cached("UPDATE recipient SET state = 'claimed', claim = ?2 WHERE message = ?1 AND state = 'queued'")?
        .execute(params![message.id.as_i64(), *work.claims])?;
    spool_report::note(work.connection, note)?;
    Ok(())
}

/// Keeps the envelope of a message that the primary has.
pub(super) fn record(
    work: &mut Work<'_>,
    message: &NewMessage,
    reply: &DeliveryReply,
    now: WallTime,
) -> Result<(), SpoolError> {
    let failed = |error: CommitError| SpoolError::Engine(Box::new(error));
    let db = work.connection;
    let id = message.id.as_i64();
    if !insert_message(db, message)? {
        return Err(Misuse("another message has this spool id").into());
    }
    insert_recipients(db, message).map_err(failed)?;
    db.prepare_cached(
        "UPDATE recipient SET state = 'delivered', attempts = 1, reply_code = ?2, reply_text = ?3, last_attempt_at = ?4
         WHERE message = ?1",
    )?
    .execute(params![id, reply.code, reply.text, row::stored_time(now)])?;
    db.prepare_cached("UPDATE message SET delivered_at = ?2 WHERE id = ?1")?
        .execute(params![id, row::stored_time(now)])?;
    delete_chunks(db, id)?;
    work.ahead.forget(id);
    for (account, recipients) in count_accepted(db, message)? {
        db.prepare_cached("UPDATE tally SET delivered = delivered + ?2 WHERE account = ?1")?
            .execute(params![account.0, recipients])?;
    }
    Ok(())
}
