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
    BodyType, CANARY_ROWS_MAX, ClaimOrder, ClaimQuery, Claimed, ClaimedRecipient, DotNote, MessageDsn, RecipientDsn,
    Recovered, RetrySelection, SpoolError,
};

/// Recipients whose due time one commit changes, at most; a larger queue takes several commits.
pub(super) const DUE_BATCH: u64 = 1_000;

/// What every query for claims reads.
macro_rules! due {
    ($index:literal, $rest:literal) => {
        concat!(
            "SELECT message, ordinal, domain, mailbox, attempts, dsn_notify, dsn_orcpt,
                    EXISTS (SELECT 1 FROM recipient_learned AS k
                            WHERE k.account = ?1 AND k.domain = r.domain AND k.is_accepted
                              AND k.name = lower(substr(r.mailbox, 1, instr(r.mailbox, '@') - 1))), refusals
             FROM recipient AS r INDEXED BY ",
            $index,
            " WHERE account = ?1 AND state = 'queued' AND due_at <= ?2 ",
            $rest
        )
    };
}

/// One class (?3). Reads in the order of the index and stops early: the index is named, because sorting all that is
/// due would make each claim of a long queue as slow as the queue is long. What was never tried is due since 1970.
const DUE_FIRST: &str = due!("recipient_due", "AND class = ?3 ORDER BY due_at, message, ordinal");

/// Ordinary mail of messages from ?3 on, in order of arrival.
const FRESH: &str =
    due!("recipient_held", "AND state <> 'delivered' AND class = 0 AND message >= ?3 ORDER BY message, ordinal");

/// Candidates for the message to try a server with.
const CANDIDATES: &str = "SELECT d.message, domain, class, good, m.octets FROM (
         SELECT message, domain, class, due_at, ordinal, EXISTS (
                SELECT 1 FROM recipient_learned AS k
                            WHERE k.account = ?1 AND k.domain = r.domain AND k.is_accepted
                              AND k.name = lower(substr(r.mailbox, 1, instr(r.mailbox, '@') - 1))) AS good
         FROM recipient AS r INDEXED BY recipient_due
         WHERE account = ?1 AND state = 'queued' AND due_at <= ?2 AND class IN (0, 1)
         ORDER BY class, due_at, message, ordinal) AS d
     CROSS JOIN message AS m ON m.id = d.message";

/// Due recipients of one message (?3).
const OF_MESSAGE: &str = due!("recipient_held", "AND state <> 'delivered' AND message = ?3 ORDER BY ordinal");

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
    let mut choice = Choice::new(db, query)?;
    let from = |time| SpoolId::first_of(time).as_i64();
    match query.order {
        ClaimOrder::FreshFirst { fresh_since } => {
            let is_full = choice.add(FRESH, from(fresh_since))? || choice.add(DUE_FIRST, 0)?;
            if !is_full {
                choice.add(DUE_FIRST, 1)?;
            }
        }
        ClaimOrder::OldestFirst => {
            if !choice.add(DUE_FIRST, 0)? {
                choice.add(DUE_FIRST, 1)?;
            }
        }
        ClaimOrder::Canary { fresh_since } => {
            if let Some(message) = choice.canary(from(fresh_since))? {
                choice.add(OF_MESSAGE, message)?;
            }
        }
    }
    Ok(choice.finish())
}

/// The better candidate has the lesser one: not fresh and known, not known, class, octets, message.
type Rank = (bool, bool, i64, i64, i64);

/// Messages as they are chosen, within the limits of a query.
struct Choice<'a> {
    db: &'a Connection,
    query: &'a ClaimQuery,
    domains: HashSet<&'a str>,
    envelopes: CachedStatement<'a>,
    claimed: Vec<Claimed>,
    /// Recipients of one message may be due at different times and are claimed together.
    places: HashMap<i64, usize>,
    taken: HashSet<(i64, u32)>,
    unreadable: HashSet<i64>,
    octets: u64,
}

impl<'a> Choice<'a> {
    fn new(db: &'a Connection, query: &'a ClaimQuery) -> rusqlite::Result<Self> {
        let envelopes = db.prepare_cached(
            "SELECT accepted_at, reverse_path, smtputf8, body, trace, sha256, octets, chunks,
                    dsn_ret, dsn_envid, peer, helo, requires_tls FROM message WHERE id = ?1",
        )?;
        Ok(Self {
            db,
            query,
            domains: query.domains.iter().map(|domain| domain.as_str()).collect(),
            envelopes,
            claimed: Vec::new(),
            places: HashMap::new(),
            taken: HashSet::new(),
            unreadable: HashSet::new(),
            octets: 0,
        })
    }

    const fn is_full(&self) -> bool {
        self.claimed.len() >= self.query.messages_max as usize
            || (self.octets >= self.query.octets_max && !self.claimed.is_empty())
    }

    /// Takes what this query yields, third parameter `third`. True once the limits are reached.
    fn add(&mut self, sql: &str, third: i64) -> rusqlite::Result<bool> {
        let mut due = self.db.prepare_cached(sql)?;
        let mut rows = due.query(params![self.query.account.0, row::stored_time(self.query.now), third])?;
        while let Some(row) = rows.next()? {
            let message: i64 = row.get(0)?;
            let is_wanted =
                self.domains.is_empty() || self.domains.contains(row.get_ref(2)?.as_str().unwrap_or_default());
            if !is_wanted || self.unreadable.contains(&message) || self.taken.contains(&(message, row.get(1)?)) {
                continue;
            }
            if !self.places.contains_key(&message) && self.is_full() {
                return Ok(true);
            }
            if let Some(recipient) = keep_readable("recipient", due_recipient(row))? {
                self.take(message, recipient)?;
            }
        }
        Ok(false)
    }

    /// Which message a server is tried with; those from `fresh` on are fresh.
    fn canary(&self, fresh: i64) -> rusqlite::Result<Option<i64>> {
        let mut candidates = self.db.prepare_cached(CANDIDATES)?;
        let mut rows = candidates.query(params![self.query.account.0, row::stored_time(self.query.now)])?;
        let mut best: Option<(Rank, i64)> = None;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            if !self.domains.is_empty() && !self.domains.contains(row.get_ref(1)?.as_str().unwrap_or_default()) {
                continue;
            }
            let (message, class, is_good, octets) = (row.get(0)?, row.get(2)?, row.get::<_, bool>(3)?, row.get(4)?);
            let rank: Rank = (!(is_good && message >= fresh), !is_good, class, octets, message);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, message));
            }
            seen += 1;
            if seen >= CANARY_ROWS_MAX {
                break;
            }
        }
        Ok(best.map(|(_, message)| message))
    }

    fn take(&mut self, message: i64, recipient: ClaimedRecipient) -> rusqlite::Result<()> {
        let place = match self.places.get(&message) {
            Some(place) => *place,
            None => {
                let Some(envelope) = envelope(&mut self.envelopes, message)? else {
                    self.unreadable.insert(message);
                    return Ok(());
                };
                self.octets = self.octets.saturating_add(envelope.octets);
                self.places.insert(message, self.claimed.len());
                self.claimed.push(envelope);
                self.claimed.len() - 1
            }
        };
        if let Some(whole) = self.claimed.get_mut(place) {
            self.taken.insert((message, recipient.ordinal));
            whole.recipients.push(recipient);
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Claimed> {
        for message in &mut self.claimed {
            message.recipients.sort_unstable_by_key(|recipient| recipient.ordinal);
        }
        self.claimed
    }
}

fn due_recipient(row: &Row<'_>) -> rusqlite::Result<ClaimedRecipient> {
    Ok(ClaimedRecipient {
        ordinal: row.get(1)?,
        mailbox: parsed(row, 3, |text| Mailbox::parse(text, true))?,
        attempts: row.get(4)?,
        dsn: RecipientDsn { notify: parsed_optional(row, 5)?, original_recipient: row.get(6)? },
        is_known_good: row.get(7)?,
        refusals: row.get(8)?,
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
            peer: parsed(row, 10, str::parse)?,
            helo: row.get(11)?,
            requires_tls: row.get(12)?,
            recipients: Vec::new(),
        })
    });
    Ok(keep_readable("message", row.optional())?.flatten())
}

/// When the account's next recipient is due.
pub(super) fn next_due(db: &Connection, account: AccountId) -> rusqlite::Result<Option<WallTime>> {
    // One search for each class: the least of both at once would read all that is queued.
    let due: Option<i64> = db
        .prepare_cached(
            "SELECT min(due) FROM (
                 SELECT min(due_at) AS due FROM recipient WHERE account = ?1 AND state = 'queued' AND class = 0
                 UNION ALL SELECT min(due_at) FROM recipient WHERE account = ?1 AND state = 'queued' AND class = 1)",
        )?
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
                 WHERE account = ?1 AND state = 'queued' AND class IN (0, 1) AND due_at > ?2 LIMIT ?3)",
        )?
        .execute(params![account.0, row::stored_time(now), row::stored_count(DUE_BATCH)])?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// What one step of a retry did, and the message after which the next one begins.
pub(super) struct RetryStep {
    pub(super) changed: u64,
    pub(super) next: Option<i64>,
}

/// Queues the queued, refused and expired recipients of up to [`DUE_BATCH`] messages behind `after`. The first step writes
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
                "UPDATE recipient SET state = 'queued', due_at = ?3, ended_at = NULL
                 WHERE message = ?1 AND account = ?2 AND state IN ('queued', 'refused', 'expired')",
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
        "SELECT coalesce(max(state IN ('queued', 'claimed', 'held')), 0),
                coalesce(max(state IN ('refused', 'expired')), 0),
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

/// What a crash left: claims nobody will report on, dots whose outcome nobody wrote, pieces whose message never came.
pub(super) fn recover(work: &Work<'_>) -> Result<Recovered, SpoolError> {
    let db = work.connection;
    let doubtful = doubtful(db)?;
    db.execute("DELETE FROM dot_note", [])?;
    let claimed = db.execute(
        "UPDATE recipient SET state = 'queued', claim = NULL WHERE state <> 'delivered' AND state = 'claimed'",
        [],
    )?;
    // The inner query reads an index, not the content of the whole spool.
    let swept = db.execute(
        "DELETE FROM chunk WHERE message IN (
             SELECT DISTINCT message FROM chunk WHERE message NOT IN (SELECT id FROM message WHERE delivered_at IS NULL))",
        [],
    )?;
    if claimed > 0 || swept > 0 {
        tracing::info!(claimed, swept, "spool recovered");
    }
    Ok(Recovered { claimed: u64::try_from(claimed).unwrap_or(u64::MAX), doubtful })
}

/// Notes of messages that are still claimed and of which no outcome was written since.
fn doubtful(db: &Connection) -> rusqlite::Result<Vec<DotNote>> {
    let mut statement = db.prepare(
        "SELECT lane, message, peer, at FROM dot_note AS n WHERE EXISTS (
             SELECT 1 FROM recipient AS r WHERE r.message = n.message AND r.state = 'claimed' AND coalesce(r.last_attempt_at, 0) < n.at)
         ORDER BY lane",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(DotNote {
            lane: row::count(row.get(0)?),
            message: SpoolId::from_i64(row.get(1)?),
            peer: parsed(row, 2, str::parse)?,
            at: row::time(row.get(3)?),
        })
    })?;
    row::readable("dot_note", rows)
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
        for sql in [DUE_FIRST, FRESH, CANDIDATES] {
            let plan: Vec<String> = db
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap()
                .query_map(rusqlite::params_from_iter(vec![1; if sql == CANDIDATES { 2 } else { 3 }]), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
            assert!(!sorts && plan[0].contains("SEARCH"), "one search in order, nothing is sorted: {plan:?}");
        }
    }
}
