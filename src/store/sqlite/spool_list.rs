//! What people and pages read of the spool.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{self, keep_readable, parsed, readable};
use crate::base::{AccountId, SpoolId};
use crate::spool::{
    DeliveryReply, IntakeStatus, ListCursor, ListPage, ListQuery, MessageDetail, MessageRow, RecipientRow,
    RecipientState, SpoolError, StateFilter, Tally,
};

/// Rows of one page, at most.
const PAGE_ROWS_MAX: u32 = 1_000;

/// Whether the message is stored.
pub(super) fn status(db: &Connection, id: SpoolId) -> rusqlite::Result<IntakeStatus> {
    let is_stored = db.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?.exists([id.as_i64()])?;
    Ok(if is_stored { IntakeStatus::Committed } else { IntakeStatus::Absent })
}

/// One piece of content.
pub(super) fn chunk(db: &Connection, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
    let octets: Option<Vec<u8>> = db
        // That of a delivered message may still be there for a moment, and is gone all the same.
        .prepare_cached(
            "SELECT octets FROM chunk WHERE message = ?1 AND ordinal = ?2
               AND NOT EXISTS (SELECT 1 FROM message WHERE id = ?1 AND delivered_at IS NOT NULL)",
        )?
        .query_row(params![id.as_i64(), ordinal], |row| row.get(0))
        .optional()?;
    octets.map(Bytes::from).ok_or(SpoolError::ChunkMissing(id))
}

/// Messages of one account, oldest first, by the states of that account's recipients.
const fn of_account(filter: StateFilter) -> &'static str {
    match filter {
        StateFilter::Held => {
            "SELECT DISTINCT message FROM recipient WHERE account = ?1 AND state <> 'delivered' AND message > ?2
             ORDER BY message LIMIT ?3"
        }
        StateFilter::Waiting => {
            "SELECT DISTINCT message FROM recipient WHERE account = ?1 AND state <> 'delivered'
                AND state IN ('queued', 'claimed', 'held') AND message > ?2 ORDER BY message LIMIT ?3"
        }
        StateFilter::Refused => {
            "SELECT DISTINCT message FROM recipient WHERE account = ?1 AND state <> 'delivered'
                AND state IN ('refused', 'expired') AND message > ?2 ORDER BY message LIMIT ?3"
        }
        StateFilter::Delivered => {
            "SELECT DISTINCT message FROM recipient AS d WHERE account = ?1 AND state = 'delivered' AND message > ?2
                AND NOT EXISTS (SELECT 1 FROM recipient AS o
                                WHERE o.account = ?1 AND o.state <> 'delivered' AND o.message = d.message)
             ORDER BY message LIMIT ?3"
        }
        StateFilter::Any => {
            "SELECT message FROM recipient WHERE account = ?1 AND state <> 'delivered' AND message > ?2
             UNION SELECT message FROM recipient WHERE account = ?1 AND state = 'delivered' AND message > ?2
             ORDER BY message LIMIT ?3"
        }
    }
}

/// Messages of all accounts, oldest first.
const fn of_all(filter: StateFilter) -> &'static str {
    match filter {
        StateFilter::Held => {
            "SELECT id FROM message WHERE delivered_at IS NULL AND id > ?2 AND ?1 IS NULL ORDER BY id LIMIT ?3"
        }
        StateFilter::Waiting => {
            "SELECT id FROM message AS m WHERE delivered_at IS NULL AND id > ?2 AND ?1 IS NULL
                AND EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state IN ('queued', 'claimed', 'held'))
             ORDER BY id LIMIT ?3"
        }
        StateFilter::Refused => {
            "SELECT id FROM message AS m WHERE delivered_at IS NULL AND id > ?2 AND ?1 IS NULL
                AND EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state IN ('refused', 'expired'))
             ORDER BY id LIMIT ?3"
        }
        StateFilter::Delivered => {
            "SELECT id FROM message WHERE delivered_at IS NOT NULL AND id > ?2 AND ?1 IS NULL ORDER BY id LIMIT ?3"
        }
        StateFilter::Any => "SELECT id FROM message WHERE id > ?2 AND ?1 IS NULL ORDER BY id LIMIT ?3",
    }
}

/// One page.
pub(super) fn list(db: &Connection, query: &ListQuery) -> rusqlite::Result<ListPage> {
    let limit = query.limit.clamp(1, PAGE_ROWS_MAX) as usize;
    let sql = if query.account.is_some() { of_account(query.filter) } else { of_all(query.filter) };
    let after = query.after.map_or(-1, |cursor| cursor.0.as_i64());
    let mut ids: Vec<i64> = db
        .prepare_cached(sql)?
        .query_map(params![query.account.map(|a| a.0), after, i64::try_from(limit + 1).unwrap_or(i64::MAX)], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    let is_more = ids.len() > limit;
    ids.truncate(limit);
    let next = ids.last().filter(|_| is_more).map(|id| ListCursor(SpoolId::from_i64(*id)));
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(detail) = message(db, id, query.account)? {
            rows.push(detail.row);
        }
    }
    Ok(ListPage { rows, next })
}

/// One message with its recipients, of one account or all. `None` when it is not there or odd.
pub(super) fn message(db: &Connection, id: i64, account: Option<AccountId>) -> rusqlite::Result<Option<MessageDetail>> {
    let row = db
        .prepare_cached(
            "SELECT accepted_at, reverse_path, octets, subject, smtputf8, tls, header_from, message_id, peer, helo,
                    sha256, trace
             FROM message WHERE id = ?1",
        )?
        .query_row([id], |row| detail(row, id))
        .optional();
    let Some(mut detail) = keep_readable("message", row)?.flatten() else { return Ok(None) };
    let mut statement = db.prepare_cached(
        "SELECT ordinal, account, mailbox, state, due_at, attempts, reply_code, reply_text, last_attempt_at
         FROM recipient WHERE message = ?1 AND (?2 IS NULL OR account = ?2) ORDER BY ordinal",
    )?;
    let rows = statement.query_map(params![id, account.map(|account| account.0)], recipient)?;
    detail.row.recipients = readable("recipient", rows)?;
    for recipient in &mut detail.row.recipients {
        // What was never tried is due since it is here.
        recipient.due_at = recipient.due_at.map(|due| due.max(detail.row.accepted_at));
    }
    Ok(Some(detail))
}

fn detail(row: &Row<'_>, id: i64) -> rusqlite::Result<MessageDetail> {
    Ok(MessageDetail {
        row: MessageRow {
            id: SpoolId::from_i64(id),
            accepted_at: row::time(row.get(0)?),
            reverse_path: row.get(1)?,
            octets: row::count(row.get(2)?),
            subject: row.get(3)?,
            smtputf8: row.get(4)?,
            tls: row.get(5)?,
            recipients: Vec::new(),
        },
        header_from: row.get(6)?,
        message_id: row.get(7)?,
        peer: parsed(row, 8, str::parse)?,
        helo: row.get(9)?,
        sha256: row.get(10)?,
        trace: row.get::<_, Vec<u8>>(11)?.into(),
    })
}

fn recipient(row: &Row<'_>) -> rusqlite::Result<RecipientRow> {
    let state = parsed(row, 3, str::parse::<RecipientState>)?;
    let text: Option<String> = row.get(7)?;
    let code: Option<u16> = row.get(6)?;
    Ok(RecipientRow {
        ordinal: row.get(0)?,
        account: AccountId(row.get(1)?),
        mailbox: row.get(2)?,
        state,
        due_at: if state.is_waiting() { Some(row::time(row.get(4)?)) } else { None },
        attempts: row.get(5)?,
        last_reply: text.map(|text| DeliveryReply { code, text }),
        last_attempt_at: row.get::<_, Option<i64>>(8)?.map(row::time),
    })
}

/// Counters and rows in one statement, hence of one instant.
pub(super) fn tally(db: &Connection, account: AccountId) -> rusqlite::Result<Tally> {
    db.prepare_cached(
        "SELECT coalesce(max(t.accepted), 0), coalesce(max(t.delivered), 0), coalesce(max(t.deleted), 0),
                coalesce(max(t.expired), 0),
                (SELECT count(*) FROM recipient
                 WHERE account = ?1 AND state <> 'delivered' AND state IN ('queued', 'claimed', 'held')),
                (SELECT count(*) FROM recipient
                 WHERE account = ?1 AND state <> 'delivered' AND state IN ('refused', 'expired'))
         FROM tally AS t WHERE t.account = ?1",
    )?
    .query_row([account.0], |row| {
        Ok(Tally {
            accepted: row::count(row.get(0)?),
            delivered: row::count(row.get(1)?),
            deleted: row::count(row.get(2)?),
            expired: row::count(row.get(3)?),
            waiting: row::count(row.get(4)?),
            refused: row::count(row.get(5)?),
        })
    })
}
