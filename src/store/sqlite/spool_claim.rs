//! Who may deliver what now: claims, due times, retries, and what a crash left.

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::account::audit;
use super::job::Work;
use super::row::{self, keep_readable, odd, parsed, parsed_optional};
use super::usage::Standing;
use crate::account::Change;
use crate::base::{AccountId, Mailbox, ReversePath, SpoolId, WallTime};
use crate::spool::{
    BodyType, ClaimQuery, Claimed, ClaimedRecipient, MessageDsn, RecipientDsn, RetrySelection, SpoolError,
};

/// Recipients whose due time one commit changes, at most; a larger queue takes several commits.
pub(super) const DUE_BATCH: u64 = 1_000;

/// Reads in the order of the index and stops early: the index is named, because sorting all that is due would make
/// each claim of a long queue as slow as the queue is long. What was never tried is due since 1970.
const DUE_FIRST: &str = "SELECT message, ordinal, domain, mailbox, attempts, dsn_notify, dsn_orcpt
     FROM recipient INDEXED BY recipient_due
     WHERE account = ?1 AND state = 'queued' AND due_at <= ?2
     ORDER BY due_at, message, ordinal";

/// Takes due recipients out of the queue.
pub(super) fn claim(work: &mut Work<'_>, query: &ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
    let claimed = choose(work.connection, query)?;
    *work.claims += 1;
    let mut take = work
        .connection
        .prepare_cached("UPDATE recipient SET state = 'claimed', claim = ?3 WHERE message = ?1 AND ordinal = ?2")?;
    for message in &claimed {
        for recipient in &message.recipients {
            take.execute(params![message.id.as_i64(), recipient.ordinal, *work.claims])?;
        }
    }
    Ok(claimed)
}

fn choose(db: &Connection, query: &ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
    let domains: HashSet<&str> = query.domains.iter().map(|domain| domain.as_str()).collect();
    let mut envelopes = db.prepare_cached(
        "SELECT accepted_at, reverse_path, smtputf8, body, trace, sha256, octets, chunks,
                dsn_ret, dsn_envid FROM message WHERE id = ?1",
    )?;
    let mut due = db.prepare_cached(DUE_FIRST)?;
    let mut rows = due.query(params![query.account.0, row::stored_time(query.now)])?;
    let mut claimed: Vec<Claimed> = Vec::new();
    // Recipients of one message may be due at different times and are claimed together.
    let mut places: HashMap<i64, usize> = HashMap::new();
    let mut octets: u64 = 0;
    let mut unreadable = None;
    while let Some(row) = rows.next()? {
        let message: i64 = row.get(0)?;
        let is_wanted = domains.is_empty() || domains.contains(row.get_ref(2)?.as_str().unwrap_or_default());
        if !is_wanted || unreadable == Some(message) {
            continue;
        }
        let known = places.get(&message).copied();
        if known.is_none()
            && (claimed.len() >= query.messages_max as usize || (octets >= query.octets_max && !claimed.is_empty()))
        {
            break;
        }
        let Some(recipient) = keep_readable("recipient", due_recipient(row))? else { continue };
        if known.is_none() {
            let Some(envelope) = envelope(&mut envelopes, message)? else {
                unreadable = Some(message);
                continue;
            };
            octets = octets.saturating_add(envelope.octets);
            places.insert(message, claimed.len());
            claimed.push(envelope);
        }
        let place = known.unwrap_or(claimed.len().saturating_sub(1));
        if let Some(whole) = claimed.get_mut(place) {
            whole.recipients.push(recipient);
        }
    }
    for message in &mut claimed {
        message.recipients.sort_unstable_by_key(|recipient| recipient.ordinal);
    }
    Ok(claimed)
}

fn due_recipient(row: &Row<'_>) -> rusqlite::Result<ClaimedRecipient> {
    Ok(ClaimedRecipient {
        ordinal: row.get(1)?,
        mailbox: parsed(row, 3, |text| Mailbox::parse(text, true))?,
        attempts: row.get(4)?,
        dsn: RecipientDsn { notify: parsed_optional(row, 5)?, original_recipient: row.get(6)? },
    })
}

/// The message around its recipients; `None` when its row is odd.
fn envelope(statement: &mut CachedStatement<'_>, message: i64) -> rusqlite::Result<Option<Claimed>> {
    let row = statement.query_row([message], |row| {
        Ok(Claimed {
            id: SpoolId::from_i64(message),
            accepted_at: row::time(row.get(0)?),
            reverse_path: parsed(row, 1, |text| ReversePath::parse(text, true))?,
            smtputf8: row.get(2)?,
            body: match row.get::<_, String>(3)?.as_str() {
                "7bit" => BodyType::SevenBit,
                "8bitmime" => BodyType::EightBitMime,
                other => return Err(odd(3, other)),
            },
            trace: row.get::<_, Vec<u8>>(4)?.into(),
            sha256: row.get(5)?,
            octets: row::count(row.get(6)?),
            chunks: row.get(7)?,
            dsn: MessageDsn { ret: parsed_optional(row, 8)?, envelope_id: row.get(9)? },
            recipients: Vec::new(),
        })
    });
    Ok(keep_readable("message", row.optional())?.flatten())
}

/// When the account's next recipient is due.
pub(super) fn next_due(db: &Connection, account: AccountId) -> rusqlite::Result<Option<WallTime>> {
    let due: Option<i64> = db
        .prepare_cached("SELECT min(due_at) FROM recipient WHERE account = ?1 AND state = 'queued'")?
        .query_row([account.0], |row| row.get(0))?;
    Ok(due.map(row::time))
}

/// Makes a batch of what is queued and not yet due, due. Returns how many; a full batch means there may be more.
pub(super) fn make_due(work: &Work<'_>, account: AccountId, now: WallTime) -> Result<u64, SpoolError> {
    let changed = work
        .connection
        .prepare_cached(
            "UPDATE recipient SET due_at = ?2 WHERE (message, ordinal) IN (
                 SELECT message, ordinal FROM recipient
                 WHERE account = ?1 AND state = 'queued' AND due_at > ?2 LIMIT ?3)",
        )?
        .execute(params![account.0, row::stored_time(now), row::stored_count(DUE_BATCH)])?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// What one step of a retry did, and the message after which the next one begins.
pub(super) struct RetryStep {
    pub(super) changed: u64,
    pub(super) next: Option<i64>,
}

/// Queues the waiting and refused recipients of up to [`DUE_BATCH`] messages behind `after`. The first step writes
/// the audit row.
pub(super) fn retry(
    work: &mut Work<'_>,
    selection: &RetrySelection,
    after: Option<i64>,
    change: &Change,
) -> Result<RetryStep, SpoolError> {
    let db = work.connection;
    let (messages, only): (Vec<i64>, Option<AccountId>) = match selection {
        RetrySelection::Account(account) => {
            if after.is_none() {
                audit(db, change, Some(*account), "queue.retry")?;
            }
            let messages = db
                .prepare_cached(
                    "SELECT DISTINCT message FROM recipient
                     WHERE account = ?1 AND state <> 'delivered' AND message > ?2 ORDER BY message LIMIT ?3",
                )?
                .query_map(params![account.0, after.unwrap_or(-1), row::stored_count(DUE_BATCH)], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            (messages, Some(*account))
        }
        RetrySelection::Message(id) => (vec![id.as_i64()], None),
    };
    let mut changed = 0;
    for message in &messages {
        changed += retry_message(work, *message, only, change)?;
    }
    let is_full = only.is_some() && u64::try_from(messages.len()).unwrap_or(u64::MAX) >= DUE_BATCH;
    Ok(RetryStep { changed, next: messages.last().copied().filter(|_| is_full) })
}

fn retry_message(
    work: &mut Work<'_>,
    message: i64,
    only: Option<AccountId>,
    change: &Change,
) -> Result<u64, SpoolError> {
    let accounts: Vec<AccountId> = work
        .connection
        .prepare_cached("SELECT DISTINCT account FROM recipient WHERE message = ?1 ORDER BY account")?
        .query_map([message], |row| row.get(0).map(AccountId))?
        .collect::<Result<_, _>>()?;
    let mut changed = 0;
    for account in accounts.into_iter().filter(|account| only.is_none_or(|only| only == *account)) {
        let (before, octets) = standing(work.connection, message, account)?;
        let queued = work
            .connection
            .prepare_cached(
                "UPDATE recipient SET state = 'queued', due_at = ?3
                 WHERE message = ?1 AND account = ?2 AND state IN ('queued', 'refused')",
            )?
            .execute(params![message, account.0, row::stored_time(change.at)])?;
        if queued > 0 {
            work.usage.moved(account, octets, before, Standing::Waiting);
        }
        if only.is_none() {
            audit(work.connection, change, Some(account), &format!("queue.retry {}", SpoolId::from_i64(message)))?;
        }
        changed += u64::try_from(queued).unwrap_or(u64::MAX);
    }
    Ok(changed)
}

/// How a message counts for an account now, and its octets.
fn standing(db: &Connection, message: i64, account: AccountId) -> rusqlite::Result<(Standing, i64)> {
    db.prepare_cached(
        "SELECT coalesce(max(state IN ('queued', 'claimed')), 0), coalesce(max(state = 'refused'), 0),
                (SELECT octets FROM message WHERE id = ?1)
         FROM recipient WHERE message = ?1 AND account = ?2",
    )?
    .query_row(params![message, account.0], |row| {
        let standing = match (row.get(0)?, row.get(1)?) {
            (true, _) => Standing::Waiting,
            (false, true) => Standing::Refused,
            (false, false) => Standing::Done,
        };
        Ok((standing, row.get(2)?))
    })
}

/// The highest number of a claim that is still open: numbers go on from it, so that no two open claims share one.
pub(super) fn last_claim(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row(
        "SELECT coalesce(max(claim), 0) FROM recipient INDEXED BY recipient_held
         WHERE state <> 'delivered' AND state = 'claimed'",
        [],
        |row| row.get(0),
    )
}

/// Ends the open claims of one account.
pub(super) fn return_claims(work: &Work<'_>, account: AccountId) -> Result<u64, SpoolError> {
    let claimed = work
        .connection
        .prepare_cached(
            "UPDATE recipient SET state = 'queued', claim = NULL WHERE (message, ordinal) IN (
                 SELECT message, ordinal FROM recipient INDEXED BY recipient_held
                 WHERE account = ?1 AND state <> 'delivered' AND state = 'claimed')",
        )?
        .execute([account.0])?;
    Ok(u64::try_from(claimed).unwrap_or(u64::MAX))
}

/// What a crash left: claims nobody will report on, pieces whose message never came.
pub(super) fn recover(work: &Work<'_>) -> Result<u64, SpoolError> {
    let db = work.connection;
    let claimed = db.execute(
        "UPDATE recipient SET state = 'queued', claim = NULL WHERE state <> 'delivered' AND state = 'claimed'",
        [],
    )?;
    // The inner query reads an index, not the content of the whole spool.
    let swept = db.execute(
        "DELETE FROM chunk WHERE message IN (
             SELECT DISTINCT message FROM chunk WHERE message NOT IN (SELECT id FROM message))",
        [],
    )?;
    if claimed > 0 || swept > 0 {
        tracing::info!(claimed, swept, "spool recovered");
    }
    Ok(u64::try_from(claimed).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::MIGRATIONS;

    #[test]
    fn a_claim_of_a_long_queue_reads_no_more_than_it_takes() {
        let db = Connection::open_in_memory().unwrap();
        for step in MIGRATIONS {
            db.execute_batch(step).unwrap();
        }
        let plan: Vec<String> = db
            .prepare(&format!("EXPLAIN QUERY PLAN {DUE_FIRST}"))
            .unwrap()
            .query_map([1, 1], |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(plan.len(), 1, "one search in order, nothing is sorted: {plan:?}");
    }
}
