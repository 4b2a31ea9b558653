//! Finds messages of one account by state, address and age within a bounded number of rows, however many are stored.

use rusqlite::{Connection, Row, params};

use super::row::parsed;
use super::spool_list;
use crate::base::SpoolId;
use crate::spool::search::{LOOKED_AT_MAX, SEARCH_ROWS_MAX, SearchPage, SearchQuery, Words};
use crate::spool::{ListCursor, RecipientState, StateFilter};

/// Everything in these states, by the index made for them. ?1 account, ?2 and ?3 the range of ids.
macro_rules! in_states {
    ($index:literal, $states:literal) => {
        concat!(
            "SELECT r.message, r.account, r.state, r.mailbox, m.reverse_path FROM recipient AS r INDEXED BY ",
            $index,
            " CROSS JOIN message AS m ON m.id = r.message WHERE r.account = ?1 AND ",
            $states,
            " AND r.message > ?2 AND r.message < ?3 ORDER BY r.message"
        )
    };
}

const HELD: &str = in_states!("recipient_held", "r.state <> 'delivered'");
const WAITING: &str = in_states!("recipient_waiting", "r.state IN ('queued', 'claimed', 'held')");
const QUARANTINED: &str = in_states!("recipient_quarantined", "r.state IN ('refused', 'expired')");
const KEPT_BACK: &str = in_states!("recipient_kept_back", "r.state = 'held'");
const DELIVERED: &str = in_states!("recipient_delivered", "r.state = 'delivered'");

/// To one address, ?4.
const TO: &str = "SELECT r.message, r.account, r.state, r.mailbox, m.reverse_path
    FROM recipient AS r INDEXED BY recipient_mailbox CROSS JOIN message AS m ON m.id = r.message
    WHERE r.account = ?1 AND r.mailbox = ?4 COLLATE NOCASE AND r.message > ?2 AND r.message < ?3 ORDER BY r.message";

/// From one address, ?4, to whomever: rows of other accounts are passed over by the reader and count as looked at.
const FROM: &str = "SELECT r.message, r.account, r.state, r.mailbox, m.reverse_path
    FROM message AS m INDEXED BY message_sender CROSS JOIN recipient AS r ON r.message = m.id
    WHERE m.reverse_path = ?4 COLLATE NOCASE AND m.id > ?2 AND m.id < ?3 AND ?1 = ?1 ORDER BY m.id";

fn sources(query: &SearchQuery) -> &'static [&'static str] {
    match (&query.words, query.filter) {
        // Rare states are looked through whole rather than all mail of an address.
        (_, StateFilter::Refused) => &[QUARANTINED],
        (_, StateFilter::KeptBack) => &[KEPT_BACK],
        (Some(Words::Address(_)), _) => &[TO, FROM],
        (_, StateFilter::Held) => &[HELD],
        (_, StateFilter::Waiting) => &[WAITING],
        (_, StateFilter::Delivered) => &[DELIVERED],
        (_, StateFilter::Any) => &[HELD, DELIVERED],
    }
}

/// Ids from one source, rising, and the last one looked at if there may be more.
struct Found {
    ids: Vec<i64>,
    end: Option<i64>,
}

fn look(db: &Connection, sql: &str, query: &SearchQuery, limit: usize) -> rusqlite::Result<Found> {
    let (above, below) = query.range();
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = match &query.words {
        Some(Words::Address(whole)) if statement.parameter_count() == 4 => {
            statement.query(params![query.account.0, above, below, whole])?
        }
        Some(_) | None => statement.query(params![query.account.0, above, below])?,
    };
    let mut found = Found { ids: Vec::new(), end: None };
    let (mut looked_at, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        // Stops between messages only: a message is looked at whole.
        if last != Some(id) && (looked_at >= LOOKED_AT_MAX || found.ids.len() > limit) {
            found.end = last;
            break;
        }
        last = Some(id);
        looked_at += 1;
        if found.ids.last() != Some(&id) && is_meant(db, row, id, query)? {
            found.ids.push(id);
        }
    }
    Ok(found)
}

fn is_meant(db: &Connection, row: &Row<'_>, id: i64, query: &SearchQuery) -> rusqlite::Result<bool> {
    if row.get::<_, i64>(1)? != query.account.0 {
        return Ok(false);
    }
    // What cannot be read is left out of lists; the integrity check tells of it.
    let Ok(state) = parsed(row, 2, str::parse::<RecipientState>) else { return Ok(false) };
    let is_named = match &query.words {
        None => true,
        Some(words) => {
            words.matches(row.get_ref(3)?.as_str().unwrap_or_default())
                || words.matches(row.get_ref(4)?.as_str().unwrap_or_default())
        }
    };
    if !is_named {
        return Ok(false);
    }
    Ok(query.filter.is_of(state) && (query.filter != StateFilter::Delivered || is_delivered(db, id, query)?))
}

/// Whether all recipients of the account have it.
fn is_delivered(db: &Connection, id: i64, query: &SearchQuery) -> rusqlite::Result<bool> {
    let question = "SELECT 1 FROM recipient WHERE message = ?1 AND account = ?2 AND state <> 'delivered'";
    Ok(!db.prepare_cached(question)?.exists(params![id, query.account.0])?)
}

/// One page.
pub(super) fn search(db: &Connection, query: &SearchQuery) -> rusqlite::Result<SearchPage> {
    let limit = query.limit.clamp(1, SEARCH_ROWS_MAX) as usize;
    let (mut ids, mut horizon) = (Vec::new(), i64::MAX);
    for sql in sources(query) {
        let found = look(db, sql, query, limit)?;
        ids.extend(found.ids);
        horizon = horizon.min(found.end.unwrap_or(i64::MAX));
    }
    ids.sort_unstable();
    ids.dedup();
    // Behind the place where a source stopped it may have more.
    ids.retain(|id| *id <= horizon);
    let is_full = ids.len() > limit;
    ids.truncate(limit);
    let next = if is_full { ids.last().copied() } else { Some(horizon).filter(|end| *end < i64::MAX) };
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(detail) = spool_list::message(db, id, Some(query.account))? {
            rows.push(detail.row);
        }
    }
    let is_cut = next.is_some() && !is_full;
    Ok(SearchPage { rows, next: next.map(|id| ListCursor(SpoolId::from_i64(id))), is_cut })
}
