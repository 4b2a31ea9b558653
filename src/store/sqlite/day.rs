//! What each day amounts to, kept in the transaction of the rows it is counted from.

use chrono::{DateTime, NaiveDate};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{odd, parsed, readable};
use crate::base::{AccountId, EndpointId};
use crate::liveness::day::{self, DayRow, Standing};
use crate::liveness::{DaySummary, HistoryRow, LineState};

const SECONDS: i64 = 86_400;

/// A day as stored: since 1970.
fn stored_day(day: NaiveDate) -> i64 {
    day.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days()
}

fn day_row(row: &Row<'_>) -> rusqlite::Result<DayRow> {
    let number: i64 = row.get(0)?;
    let at = number.checked_mul(SECONDS).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let counted = DaySummary {
        day: at.ok_or_else(|| odd(0, number))?.date_naive(),
        online_s: row.get(1)?,
        offline_s: row.get(2)?,
        no_data_s: row.get(3)?,
        outages: row.get(4)?,
        address_changes: row.get(5)?,
    };
    let then = parsed(row, 7, |word| Standing::from_stored(word).ok_or("not a standing"))?;
    Ok(DayRow { counted, until_s: row.get(6)?, then })
}

/// How an account stands by the last states of its servers.
fn standing(db: &Connection, account: AccountId) -> rusqlite::Result<Standing> {
    let mut statement = db.prepare_cached(
        "SELECT l.state, l.no_data_since IS NOT NULL FROM line AS l
         JOIN endpoint AS e ON e.id = l.endpoint WHERE e.account = ?1",
    )?;
    let servers = statement.query_map([account.0], |row| {
        let state = parsed(row, 0, str::parse::<LineState>)?;
        Ok(Standing::of(state, row.get(1)?))
    })?;
    Ok(Standing::best(readable("line", servers)?))
}

/// Counts a row of history that was just written. Rows of servers that are gone count for nobody.
pub(super) fn count(db: &Connection, line: &HistoryRow) -> rusqlite::Result<()> {
    let EndpointId(endpoint) = line.endpoint();
    let account = db
        .prepare_cached("SELECT account FROM endpoint WHERE id = ?1")?
        .query_row([endpoint], |row| row.get(0).map(AccountId))
        .optional()?;
    let Some(account) = account else { return Ok(()) };
    let newest = db
        .prepare_cached(
            "SELECT day, online_s, offline_s, no_data_s, outages, address_changes, until_s, standing FROM day
             WHERE account = ?1 ORDER BY day DESC LIMIT 1",
        )?
        .query_row([account.0], day_row)
        .optional()?;
    let row = day::counted(newest, line, standing(db, account)?);
    db.prepare_cached(
        "INSERT OR REPLACE INTO day
         (account, day, online_s, offline_s, no_data_s, outages, address_changes, until_s, standing)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        account.0,
        stored_day(row.counted.day),
        row.counted.online_s,
        row.counted.offline_s,
        row.counted.no_data_s,
        row.counted.outages,
        row.counted.address_changes,
        row.until_s,
        row.then.as_str()
    ])
    .map(drop)
}

/// The rows of these days and the newest before them.
pub(super) fn rows(
    db: &Connection,
    account: AccountId,
    from: NaiveDate,
    to: NaiveDate,
) -> rusqlite::Result<Vec<DayRow>> {
    let mut statement = db.prepare_cached(
        "SELECT day, online_s, offline_s, no_data_s, outages, address_changes, until_s, standing FROM day
         WHERE account = ?1 AND day <= ?3 AND day >= ifnull(
             (SELECT max(day) FROM day WHERE account = ?1 AND day < ?2), ?2)
         ORDER BY day",
    )?;
    let rows = statement.query_map(params![account.0, stored_day(from), stored_day(to)], day_row)?;
    readable("day", rows)
}
