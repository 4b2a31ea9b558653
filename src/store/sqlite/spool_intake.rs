//! How a message becomes ours: its pieces, then message and recipients in one step.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::Misuse;
use super::job::Work;
use super::row;
use super::usage::Standing;
use crate::base::{AccountId, SpoolId};
use crate::spool::{BodyType, CHUNK_OCTETS_MAX, CommitError, NewMessage, SpoolError};

/// `body` as stored.
pub(super) const fn body_word(body: BodyType) -> &'static str {
    match body {
        BodyType::SevenBit => "7bit",
        BodyType::EightBitMime => "8bitmime",
    }
}

fn is_stored(db: &Connection, id: SpoolId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?.exists([id.as_i64()])
}

/// Stores one piece ahead. A piece that comes again replaces itself.
pub(super) fn chunk(work: &mut Work<'_>, id: SpoolId, ordinal: u32, octets: &Bytes) -> Result<(), SpoolError> {
    if octets.len() > CHUNK_OCTETS_MAX {
        return Err(Misuse("a piece of content is too long").into());
    }
    if is_stored(work.connection, id)? {
        return Err(Misuse("the message is complete; its content does not change any more").into());
    }
    work.ahead.note(id.as_i64());
    write_chunk(work.connection, id, ordinal, octets)?;
    Ok(())
}

fn write_chunk(db: &Connection, id: SpoolId, ordinal: u32, octets: &Bytes) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO chunk (message, ordinal, octets) VALUES (?1, ?2, ?3)
         ON CONFLICT (message, ordinal) DO UPDATE SET octets = excluded.octets",
    )?
    .execute(params![id.as_i64(), ordinal, &octets[..]])
    .map(drop)
}

/// Removes the pieces of a message that will not come. A complete message is left alone.
pub(super) fn abandon(work: &mut Work<'_>, id: SpoolId) -> Result<(), SpoolError> {
    if !is_stored(work.connection, id)? {
        delete_chunks(work.connection, id.as_i64())?;
        work.ahead.forget(id.as_i64());
    }
    Ok(())
}

/// Removes the content of a message.
pub(super) fn delete_chunks(db: &Connection, message: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM chunk WHERE message = ?1")?.execute([message]).map(drop)
}

/// Makes the message ours. The same message again is ours already; another one of that id is refused. Writes nothing
/// before everything was looked at.
pub(super) fn commit(work: &mut Work<'_>, message: &NewMessage) -> Result<(), CommitError> {
    let db = work.connection;
    let id = message.id.as_i64();
    require_shape(message)?;
    let another = || Err(Misuse("another message has this spool id").into());
    // Most messages come in one piece: nothing of them can be there, and one statement fewer is asked.
    if message.chunks_ahead > 0 || work.ahead.has(id) {
        if let Some(same) = already_stored(db, message)? {
            return if same { Ok(()) } else { another() };
        }
        require_pieces(work, message)?;
    } else if tail_octets(message) != message.octets {
        return Err(INCOMPLETE.into());
    }
    if !insert_message(db, message)? {
        return if already_stored(db, message)? == Some(true) { Ok(()) } else { another() };
    }
    insert_recipients(db, message)?;
    for (piece, ordinal) in message.tail.iter().zip(message.chunks_ahead..) {
        write_chunk(db, message.id, ordinal, piece)?;
    }
    for (account, _) in count_accepted(db, message)? {
        work.usage.moved(account, row::stored_count(message.octets), Standing::Done, Standing::Waiting);
    }
    work.ahead.forget(id);
    Ok(())
}

/// All of them, due at once and before all that was tried, also if the clock was ahead when the message was accepted.
pub(super) fn insert_recipients(db: &Connection, message: &NewMessage) -> Result<(), CommitError> {
    for (recipient, ordinal) in message.recipients.iter().zip(0i64..) {
        let Some(domain) = recipient.mailbox.domain() else {
            return Err(Misuse("a recipient lives at an address literal").into());
        };
        db.prepare_cached(
            "INSERT INTO recipient (message, ordinal, account, mailbox, domain, state, due_at, dsn_notify, dsn_orcpt, class)
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', 0, ?6, ?7, ?8)",
        )?
        .execute(params![
            message.id.as_i64(),
            ordinal,
            recipient.account.0,
            recipient.mailbox.to_string(),
            domain.as_str(),
            recipient.dsn.notify.map(|notify| notify.to_string()),
            recipient.dsn.original_recipient,
            message.is_last()
        ])?;
    }
    Ok(())
}

/// Whether this id is stored, and then whether it is the same message.
fn already_stored(db: &Connection, message: &NewMessage) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(
        "SELECT sha256 = ?2 AND octets = ?3
                AND (SELECT count(*) FROM recipient WHERE message = m.id) = ?4 FROM message AS m WHERE id = ?1",
    )?
    .query_row(
        params![
            message.id.as_i64(),
            message.sha256,
            row::stored_count(message.octets),
            i64::try_from(message.recipients.len()).unwrap_or(i64::MAX)
        ],
        |row| row.get(0),
    )
    .optional()
}

const INCOMPLETE: Misuse = Misuse("the pieces of the content are not what the message says");

/// Refuses what no message can be.
fn require_shape(message: &NewMessage) -> Result<(), CommitError> {
    if message.recipients.is_empty() {
        return Err(Misuse("a message has at least one recipient").into());
    }
    if message.tail.iter().any(|piece| piece.len() > CHUNK_OCTETS_MAX) {
        return Err(Misuse("a piece of content is too long").into());
    }
    if message.recipients.iter().any(|recipient| recipient.mailbox.domain().is_none()) {
        return Err(Misuse("a recipient lives at an address literal").into());
    }
    Ok(())
}

fn tail_octets(message: &NewMessage) -> u64 {
    message.tail.iter().map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}

/// Refuses a message of which a piece is missing or may be: whole or not at all.
fn require_pieces(work: &Work<'_>, message: &NewMessage) -> Result<(), CommitError> {
    let id = message.id.as_i64();
    if work.ahead.is_doubtful(id) {
        return Err(Misuse("content that was written ahead may be lost, since a sync failed meanwhile").into());
    }
    let (pieces, octets): (i64, i64) = work
        .connection
        .prepare_cached("SELECT count(*), coalesce(sum(length(octets)), 0) FROM chunk WHERE message = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let whole = row::count(octets).saturating_add(tail_octets(message));
    if pieces != i64::from(message.chunks_ahead) || whole != message.octets {
        return Err(INCOMPLETE.into());
    }
    Ok(())
}

/// False when there is a message of that id.
pub(super) fn insert_message(db: &Connection, message: &NewMessage) -> rusqlite::Result<bool> {
    let tail = i64::try_from(message.tail.len()).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO message (id, accepted_at, reverse_path, smtputf8, body, trace, sha256, octets, chunks, subject,
                              header_from, message_id, peer, helo, tls, dsn_ret, dsn_envid, requires_tls)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        message.id.as_i64(),
        row::stored_time(message.accepted_at),
        message.reverse_path.to_string(),
        message.smtputf8,
        body_word(message.body),
        &message.trace[..],
        message.sha256,
        row::stored_count(message.octets),
        i64::from(message.chunks_ahead).saturating_add(tail),
        message.header.subject,
        message.header.from,
        message.header.message_id,
        message.peer.to_string(),
        message.helo,
        message.tls,
        message.dsn.ret.map(|ret| ret.to_string()),
        message.dsn.envelope_id,
        message.requires_tls
    ])
    .map(|rows| rows == 1)
}

/// Counts its recipients, which are returned by account.
pub(super) fn count_accepted(db: &Connection, message: &NewMessage) -> rusqlite::Result<Vec<(AccountId, i64)>> {
    let mut accounts: Vec<AccountId> = message.recipients.iter().map(|recipient| recipient.account).collect();
    accounts.sort_unstable();
    let mut counted = Vec::new();
    for same in accounts.chunk_by(|a, b| a == b) {
        let Some(account) = same.first().copied() else { continue };
        let recipients = i64::try_from(same.len()).unwrap_or(i64::MAX);
        db.prepare_cached(
            "INSERT INTO tally (account, accepted) VALUES (?1, ?2)
             ON CONFLICT (account) DO UPDATE SET accepted = accepted + excluded.accepted",
        )?
        .execute(params![account.0, recipients])?;
        counted.push((account, recipients));
    }
    Ok(counted)
}
