//! What persons and time do to stored mail: holds, rulings, expiry, removal after quarantine.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::account::audit;
use super::job::Work;
use super::notice;
use super::row::{self, parsed, readable};
use super::spool_intake::delete_chunks;
use super::spool_report::{Held, recipients, standings};
use super::usage::Standing;
use crate::account::Change;
use crate::base::{AccountId, SpoolId, WallTime};
use crate::spool::{Expiry, ExpiryTerms, Hold, OldestWaiting, RecipientState, Ruling, SpoolError};

/// Messages that one step of a sweep looks at, at most.
const SWEEP_BATCH: u64 = 500;

/// Stored for mail that a person gave up.
const GIVEN_UP: &str = "given up by a person";

/// Stored for mail whose time ran out.
const EXPIRED: &str = "not delivered in time";

/// Every stopped flush.
pub(super) fn holds(db: &Connection) -> rusqlite::Result<Vec<(AccountId, Hold)>> {
    let mut statement = db.prepare_cached("SELECT account, kind, reason, since FROM hold ORDER BY account")?;
    let rows = statement.query_map([], |row| {
        let hold = Hold { kind: parsed(row, 1, str::parse)?, reason: row.get(2)?, since: row::time(row.get(3)?) };
        Ok((AccountId(row.get(0)?), hold))
    })?;
    readable("hold", rows)
}

/// Stops a flush, or lets it go on.
pub(super) fn set_hold(
    work: &Work<'_>,
    account: AccountId,
    hold: Option<&Hold>,
    change: &Change,
) -> Result<(), SpoolError> {
    let db = work.connection;
    let what = match hold {
        Some(hold) => {
            db.prepare_cached(
                "INSERT INTO hold (account, kind, reason, since) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (account) DO UPDATE SET kind = ?2, reason = ?3, since = ?4",
            )?
            .execute(params![account.0, hold.kind.as_str(), hold.reason, row::stored_time(hold.since)])?;
            format!("queue.hold {}: {}", hold.kind, hold.reason)
        }
        None => {
            db.prepare_cached("DELETE FROM hold WHERE account = ?1")?.execute([account.0])?;
            "queue.release".to_owned()
        }
    };
    Ok(audit(db, change, Some(account), &what)?)
}

/// One message as its recipients stand, with its octets.
struct Whole {
    id: i64,
    octets: i64,
    recipients: Vec<Held>,
    before: BTreeMap<AccountId, Standing>,
}

impl Whole {
    fn load(db: &Connection, id: i64) -> rusqlite::Result<Option<Self>> {
        let octets = db
            .prepare_cached("SELECT octets FROM message WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let Some(octets) = octets else { return Ok(None) };
        let recipients = recipients(db, id)?;
        let before = standings(&recipients);
        Ok(Some(Self { id, octets, recipients, before }))
    }

    /// Counts what changed, and removes what nobody needs any more.
    fn finish(self, work: &mut Work<'_>, now: WallTime) -> rusqlite::Result<()> {
        let mut after = standings(&self.recipients);
        for (account, before) in self.before {
            let after = after.remove(&account).unwrap_or(Standing::Done);
            work.usage.moved(account, self.octets, before, after);
        }
        let db = work.connection;
        if self.recipients.is_empty() {
            delete_chunks(db, self.id)?;
            db.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([self.id])?;
        } else if self.recipients.iter().all(|held| held.state == RecipientState::Delivered) {
            delete_chunks(db, self.id)?;
            db.prepare_cached("UPDATE message SET delivered_at = ?2 WHERE id = ?1 AND delivered_at IS NULL")?
                .execute(params![self.id, row::stored_time(now)])?;
        }
        Ok(())
    }

    /// Removes recipients and counts them in this column of the tally. Returns how many.
    fn remove(
        &mut self,
        db: &Connection,
        counter: &'static str,
        is_meant: impl Fn(&Held) -> bool,
    ) -> rusqlite::Result<u64> {
        let mut removed = 0;
        for held in self.recipients.iter().filter(|held| is_meant(held)) {
            db.prepare_cached("DELETE FROM recipient WHERE message = ?1 AND ordinal = ?2")?
                .execute(params![self.id, held.ordinal])?;
            db.prepare_cached(counter)?.execute([held.account.0])?;
            removed += 1;
        }
        self.recipients.retain(|held| !is_meant(held));
        Ok(removed)
    }
}

const COUNT_DELETED: &str = "UPDATE tally SET deleted = deleted + 1 WHERE account = ?1";
const COUNT_EXPIRED: &str = "UPDATE tally SET expired = expired + 1 WHERE account = ?1";

/// Carries out what a person says about one message.
pub(super) fn rule(work: &mut Work<'_>, id: SpoolId, ruling: Ruling, change: &Change) -> Result<u64, SpoolError> {
    let db = work.connection;
    let Some(mut whole) = Whole::load(db, id.as_i64())? else { return Ok(0) };
    let accounts: Vec<AccountId> = whole.before.keys().copied().collect();
    let changed = match ruling {
        Ruling::Hold => {
            set_states(db, &mut whole, RecipientState::Held, None, change.at, |s| s == RecipientState::Queued)?
        }
        Ruling::Release => set_states(db, &mut whole, RecipientState::Queued, None, change.at, |s| {
            s == RecipientState::Held || s.is_quarantined()
        })?,
        Ruling::Fail => set_states(db, &mut whole, RecipientState::Refused, Some(GIVEN_UP), change.at, |s| {
            matches!(s, RecipientState::Queued | RecipientState::Held)
        })?,
        Ruling::Drop => whole.remove(db, COUNT_DELETED, |held| {
            !matches!(held.state, RecipientState::Delivered | RecipientState::Claimed)
        })?,
    };
    for account in accounts {
        audit(db, change, Some(account), &format!("queue.{} {id}", ruling.as_str()))?;
    }
    whole.finish(work, change.at)?;
    Ok(changed)
}

/// Moves the recipients meant to another state. `words`: why, where it ends them.
fn set_states(
    db: &Connection,
    whole: &mut Whole,
    to: RecipientState,
    words: Option<&str>,
    now: WallTime,
    is_meant: impl Fn(RecipientState) -> bool,
) -> rusqlite::Result<u64> {
    let mut changed = 0;
    for held in whole.recipients.iter_mut().filter(|held| is_meant(held.state)) {
        let due_at = (to == RecipientState::Queued).then(|| row::stored_time(now));
        let ended_at = to.is_quarantined().then(|| row::stored_time(now));
        db.prepare_cached(
            "UPDATE recipient SET state = ?3, due_at = coalesce(?4, due_at), ended_at = ?5,
                    reply_code = CASE WHEN ?6 IS NULL THEN reply_code ELSE NULL END,
                    reply_text = coalesce(?6, reply_text)
             WHERE message = ?1 AND ordinal = ?2",
        )?
        .execute(params![whole.id, held.ordinal, to.as_str(), due_at, ended_at, words])?;
        held.state = to;
        notice::ruled(db, whole.id, held.ordinal, to, now)?;
        changed += 1;
    }
    Ok(changed)
}

/// A step of the sweep. `None` in the second place when nothing is left to do.
pub(super) fn expire(work: &mut Work<'_>, terms: &ExpiryTerms, now: WallTime) -> Result<(Expiry, bool), SpoolError> {
    let mut expiry = Expiry::default();
    let (longer_accepted, longer_ended) = Longer::of(terms);
    let old = old_messages(work.connection, SpoolId::first_of(terms.accepted_before).as_i64(), &longer_accepted)?;
    for id in &old {
        let Some(mut whole) = Whole::load(work.connection, *id)? else { continue };
        // What is just being delivered, or kept back by a person, has its end elsewhere.
        expiry.expired += set_expired(work.connection, &mut whole, terms, now)?;
        whole.finish(work, now)?;
    }
    let ended = ended_messages(work.connection, terms.ended_before, &longer_ended)?;
    for id in &ended {
        let Some(mut whole) = Whole::load(work.connection, *id)? else { continue };
        let gone = gone_ordinals(work.connection, *id, terms.ended_before, &longer_ended)?;
        expiry.removed += whole.remove(work.connection, COUNT_EXPIRED, |held| gone.contains(&held.ordinal))?;
        whole.finish(work, now)?;
    }
    let is_full = |count: usize| u64::try_from(count).unwrap_or(u64::MAX) >= SWEEP_BATCH;
    Ok((expiry, is_full(old.len()) || is_full(ended.len())))
}

/// The times of accounts whose mail may stay for longer, as the statements take them: a JSON object by account.
struct Longer(String);

impl Longer {
    /// For waiting mail, and for mail in quarantine.
    fn of(terms: &ExpiryTerms) -> (Self, Self) {
        let text = |value: fn(&(WallTime, WallTime)) -> i64| {
            let all: BTreeMap<i64, i64> =
                terms.longer.iter().map(|(account, times)| (account.0, value(times))).collect();
            Self(serde_json::to_string(&all).unwrap_or_else(|_| "{}".to_owned()))
        };
        (text(|(accepted, _)| SpoolId::first_of(*accepted).as_i64()), text(|(_, ended)| row::stored_time(*ended)))
    }
}

fn set_expired(db: &Connection, whole: &mut Whole, terms: &ExpiryTerms, now: WallTime) -> rusqlite::Result<u64> {
    let mut changed = 0;
    let id = whole.id;
    let is_meant =
        |held: &Held| held.state == RecipientState::Queued && id < SpoolId::first_of(terms.of(held.account).0).as_i64();
    for held in whole.recipients.iter_mut().filter(|held| is_meant(held)) {
        // The primary's last words stay where there are any: they say why.
        db.prepare_cached(
            "UPDATE recipient SET state = 'expired', ended_at = ?3, reply_text = coalesce(reply_text, ?4)
             WHERE message = ?1 AND ordinal = ?2",
        )?
        .execute(params![id, held.ordinal, row::stored_time(now), EXPIRED])?;
        held.state = RecipientState::Expired;
        notice::ruled(db, id, held.ordinal, held.state, now)?;
        changed += 1;
    }
    Ok(changed)
}

/// Messages with a queued recipient below this id: ids rise with the time of acceptance.
fn old_messages(db: &Connection, below: i64, longer: &Longer) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(
        "SELECT DISTINCT message FROM recipient WHERE state = 'queued' AND message < ?1
           AND message < coalesce((SELECT value FROM json_each(?3) WHERE key = CAST(account AS TEXT)), ?1)
         ORDER BY message LIMIT ?2",
    )?
    .query_map(params![below, row::stored_count(SWEEP_BATCH), longer.0], |row| row.get(0))?
    .collect()
}

fn ended_messages(db: &Connection, before: WallTime, longer: &Longer) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(
        "SELECT DISTINCT message FROM recipient INDEXED BY recipient_ended
         WHERE state IN ('refused', 'expired') AND ended_at < ?1
           AND ended_at < coalesce((SELECT value FROM json_each(?3) WHERE key = CAST(account AS TEXT)), ?1)
         LIMIT ?2",
    )?
    .query_map(params![row::stored_time(before), row::stored_count(SWEEP_BATCH), longer.0], |row| row.get(0))?
    .collect()
}

fn gone_ordinals(db: &Connection, message: i64, before: WallTime, longer: &Longer) -> rusqlite::Result<Vec<u32>> {
    db.prepare_cached(
        "SELECT ordinal FROM recipient WHERE message = ?1 AND state IN ('refused', 'expired')
           AND ended_at < coalesce((SELECT value FROM json_each(?3) WHERE key = CAST(account AS TEXT)), ?2)",
    )?
    .query_map(params![message, row::stored_time(before), longer.0], |row| row.get(0))?
    .collect()
}

/// The oldest waiting message of each account. Reads one index row for each account.
pub(super) fn oldest_waiting(db: &Connection) -> rusqlite::Result<Vec<OldestWaiting>> {
    let mut statement = db.prepare_cached(
        "SELECT a.id, m.accepted_at FROM account AS a JOIN message AS m ON m.id = (
             SELECT min(message) FROM recipient AS r WHERE r.account = a.id AND r.state <> 'delivered'
                AND r.state IN ('queued', 'claimed', 'held'))
         ORDER BY a.id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(OldestWaiting { account: AccountId(row.get(0)?), accepted_at: row::time(row.get(1)?) })
    })?;
    readable("recipient", rows)
}
