//! How claims end, and what goes when a message has been delivered.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, params};

use super::job::Work;
use super::notice;
use super::row::{self, parsed};
use super::spool_intake::delete_chunks;
use super::usage::Standing;
use crate::base::{AccountId, WallTime};
use crate::spool::{DeliveryReply, DotNote, Outcome, RecipientState, Report, SpoolError};

/// Messages whose envelopes one commit removes, at most.
pub(super) const PURGE_BATCH: u64 = 500;

/// One recipient as it stands.
pub(super) struct Held {
    pub(super) ordinal: u32,
    pub(super) account: AccountId,
    pub(super) state: RecipientState,
    claim: Option<i64>,
}

/// Takes one report. What is said of recipients that are not claimed any more is a fact only if they were delivered.
pub(super) fn report(work: &mut Work<'_>, report: &Report, now: WallTime) -> Result<(), SpoolError> {
    let db = work.connection;
    let message = report.id.as_i64();
    let (mut recipients, octets) = recipients_and_octets(db, message)?;
    let Some(octets) = octets else {
        tracing::warn!(spool_id = %report.id, "report on a message that is not in the spool");
        return Ok(());
    };
    let before = standings(&recipients);
    let claims: HashSet<i64> = recipients
        .iter()
        .filter(|held| held.state == RecipientState::Claimed && names(report, held.ordinal))
        .filter_map(|held| held.claim)
        .collect();
    let mut delivered: BTreeMap<AccountId, i64> = BTreeMap::new();
    for (ordinal, outcome) in &report.outcomes {
        let Some(held) = recipients.iter_mut().find(|held| held.ordinal == *ordinal) else { continue };
        let was = held.state;
        let is_delivered = end(db, message, held, outcome, now)?;
        notice::ended(db, message, held.ordinal, (was, held.state), (outcome, report.via.as_ref()), now)?;
        if is_delivered {
            *delivered.entry(held.account).or_default() += 1;
        }
    }
    for held in &mut recipients {
        let is_of_claim = held.claim.is_some_and(|claim| claims.contains(&claim));
        if is_of_claim && !names(report, held.ordinal) {
            end(db, message, held, &Outcome::Returned, now)?;
        }
    }
    for (account, more) in delivered {
        db.prepare_cached("UPDATE tally SET delivered = delivered + ?2 WHERE account = ?1")?
            .execute(params![account.0, more])?;
    }
    for (account, after) in standings(&recipients) {
        let was = before.get(&account).copied().unwrap_or(Standing::Done);
        work.usage.moved(account, octets, was, after);
    }
    if recipients.iter().all(|held| held.state == RecipientState::Delivered) {
        // Its content goes with that of others, see `finished`.
        work.finished.push(message);
        db.prepare_cached("UPDATE message SET delivered_at = ?2 WHERE id = ?1 AND delivered_at IS NULL")?
            .execute(params![message, row::stored_time(now)])?;
    }
    Ok(())
}

fn names(report: &Report, ordinal: u32) -> bool {
    report.outcomes.iter().any(|(named, _)| *named == ordinal)
}

/// All recipients of a message.
pub(super) fn recipients(db: &Connection, message: i64) -> rusqlite::Result<Vec<Held>> {
    db.prepare_cached("SELECT ordinal, account, state, claim FROM recipient WHERE message = ?1 ORDER BY ordinal")?
        .query_map([message], held)?
        .collect()
}

/// The same, with the octets of its content; none if there is no such message.
fn recipients_and_octets(db: &Connection, message: i64) -> rusqlite::Result<(Vec<Held>, Option<i64>)> {
    let mut octets = None;
    let held = db
        .prepare_cached(
            "SELECT r.ordinal, r.account, r.state, r.claim, m.octets FROM message AS m
             CROSS JOIN recipient AS r ON r.message = m.id WHERE m.id = ?1 ORDER BY r.ordinal",
        )?
        .query_map([message], |row| {
            octets = row.get(4)?;
            held(row)
        })?
        .collect::<rusqlite::Result<Vec<Held>>>()?;
    Ok((held, octets))
}

fn held(row: &rusqlite::Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        ordinal: row.get(0)?,
        account: AccountId(row.get(1)?),
        state: parsed(row, 2, str::parse::<RecipientState>)?,
        claim: row.get(3)?,
    })
}

/// How the message counts for each of its accounts.
pub(super) fn standings(recipients: &[Held]) -> BTreeMap<AccountId, Standing> {
    let mut all = BTreeMap::new();
    for held in recipients {
        let standing = all.entry(held.account).or_insert(Standing::Done);
        *standing = standing.with(held.state);
    }
    all
}

/// Ends one claim. True when the recipient was delivered by it, for the first time.
fn end(db: &Connection, message: i64, held: &mut Held, outcome: &Outcome, now: WallTime) -> rusqlite::Result<bool> {
    let is_claimed = held.state == RecipientState::Claimed;
    let (state, until, reply) = match outcome {
        Outcome::Delivered { reply } if held.state != RecipientState::Delivered => {
            (RecipientState::Delivered, None, Some(reply))
        }
        Outcome::Deferred { until, reply } if is_claimed => (RecipientState::Queued, Some(*until), Some(reply)),
        Outcome::Refused { reply } if is_claimed => (RecipientState::Refused, None, Some(reply)),
        Outcome::Returned if is_claimed => (RecipientState::Queued, None, None),
        Outcome::Postponed { until } if is_claimed => (RecipientState::Queued, Some(*until), None),
        Outcome::Delivered { .. }
        | Outcome::Deferred { .. }
        | Outcome::Refused { .. }
        | Outcome::Returned
        | Outcome::Postponed { .. } => return Ok(false),
    };
    held.state = state;
    held.claim = None;
    match reply {
        Some(reply) => write_end(db, message, held, until, reply, now)?,
        None => {
            db.prepare_cached(
                "UPDATE recipient SET state = 'queued', claim = NULL, due_at = coalesce(?3, due_at)
                 WHERE message = ?1 AND ordinal = ?2",
            )?
            .execute(params![message, held.ordinal, until.map(row::stored_time)])?;
        }
    }
    Ok(state == RecipientState::Delivered)
}

/// Notes that the final dot of a message may be sent from now on.
pub(super) fn note(db: &Connection, note: &DotNote) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO dot_note (lane, message, peer, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (lane) DO UPDATE SET message = ?2, peer = ?3, at = ?4",
    )?
    .execute(params![
        row::stored_count(note.lane),
        note.message.as_i64(),
        note.peer.to_string(),
        row::stored_time(note.at)
    ])
    .map(drop)
}

fn write_end(
    db: &Connection,
    message: i64,
    held: &Held,
    until: Option<WallTime>,
    reply: &DeliveryReply,
    now: WallTime,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE recipient SET state = ?3, due_at = coalesce(?4, due_at), attempts = attempts + 1, claim = NULL,
                refusals = refusals + coalesce(?5 >= 500, 0), reply_code = ?5, reply_text = ?6, last_attempt_at = ?7,
                ended_at = CASE ?3 WHEN 'refused' THEN ?7 END
         WHERE message = ?1 AND ordinal = ?2",
    )?
    .execute(params![
        message,
        held.ordinal,
        held.state.as_str(),
        until.map(row::stored_time),
        reply.code,
        reply.text,
        row::stored_time(now)
    ])
    .map(drop)
}

/// Removes a batch of envelopes of messages that were delivered to all. Returns how many; a full batch means there
/// may be more.
pub(super) fn purge(work: &Work<'_>, delivered_before: WallTime) -> Result<u64, SpoolError> {
    let db = work.connection;
    let messages: Vec<i64> = db
        .prepare_cached(
            "SELECT id FROM message WHERE delivered_at IS NOT NULL AND delivered_at < ?1
             ORDER BY delivered_at LIMIT ?2",
        )?
        .query_map(params![row::stored_time(delivered_before), row::stored_count(PURGE_BATCH)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for message in &messages {
        // Its content may still wait to be removed with that of others.
        delete_chunks(db, *message)?;
        db.prepare_cached("DELETE FROM recipient WHERE message = ?1 AND state = 'delivered'")?.execute([message])?;
        db.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([message])?;
    }
    Ok(u64::try_from(messages.len()).unwrap_or(u64::MAX))
}
