//! The history of the lines: written once, read by everybody.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use rusqlite::{Connection, Row, params};

use super::job::Terms;
use super::row::{self, odd, parsed, parsed_optional, readable};
use super::{SqliteStore, day as day_table};
use crate::base::{AccountId, EndpointId, WallTime};
use crate::liveness::{
    AddressChange, Cause, DaySummary, HistoryRow, IntervalChange, LineState, LogError, NoData, Transition,
    TransitionLog, WatchedEndpoint, day,
};

/// Rows of history in one answer, at most.
const HISTORY_ROWS_MAX: u32 = 1_000;

/// Rows of history that are removed in one transaction, at most: the writer is not kept from mail for long.
const PURGED_AT_ONCE_MAX: u32 = 2_000;

fn append(db: &Connection, line: &HistoryRow) -> rusqlite::Result<()> {
    match line {
        HistoryRow::State(line) => append_state(db, line)?,
        HistoryRow::Address(line) => append_address(db, line)?,
        HistoryRow::NoData(line) => append_no_data(db, line)?,
        HistoryRow::Interval(line) => append_interval(db, line)?,
    }
    day_table::count(db, line)
}

fn append_no_data(db: &Connection, line: &NoData) -> rusqlite::Result<()> {
    let since = row::stored_time(line.since);
    db.prepare_cached(
        "INSERT INTO history (account, endpoint, kind, at, to_value, since)
         SELECT account, id, 'no_data', ?2, ?3, ?4 FROM endpoint WHERE id = ?1",
    )?
    .execute(params![
        line.endpoint.0,
        row::stored_time(line.at),
        if line.is_over { "over" } else { "begun" },
        since
    ])?;
    db.prepare_cached("UPDATE line SET no_data_since = ?2 WHERE endpoint = ?1")?
        .execute(params![line.endpoint.0, (!line.is_over).then_some(since)])
        .map(drop)
}

fn append_interval(db: &Connection, line: &IntervalChange) -> rusqlite::Result<()> {
    let (at, millis) = (row::stored_time(line.at), i64::try_from(line.interval.as_millis()).unwrap_or(i64::MAX));
    let written = db
        .prepare_cached(
            "INSERT INTO history (account, endpoint, kind, at, to_value)
             SELECT account, id, 'interval', ?2, ?3 FROM endpoint WHERE id = ?1",
        )?
        .execute(params![line.endpoint.0, at, millis.to_string()])?;
    if written > 0 {
        db.prepare_cached(
            "INSERT INTO line (endpoint, state, since, interval_ms) VALUES (?1, 'new', ?2, ?3)
             ON CONFLICT (endpoint) DO UPDATE SET interval_ms = excluded.interval_ms",
        )?
        .execute(params![line.endpoint.0, at, millis])?;
    }
    Ok(())
}

/// The row is written only if the server is still there; the same holds for [`append_address`].
fn append_state(db: &Connection, line: &Transition) -> rusqlite::Result<()> {
    let written = db
        .prepare_cached(
            "INSERT INTO history (account, endpoint, kind, at, from_value, to_value, cause, since, address)
             SELECT account, id, 'state', ?2, ?3, ?4, ?5, ?6, ?7 FROM endpoint WHERE id = ?1",
        )?
        .execute(params![
            line.endpoint.0,
            row::stored_time(line.at),
            line.from.as_str(),
            line.to.as_str(),
            line.cause.as_str(),
            row::stored_time(line.since),
            line.address.map(|address| address.to_string())
        ])?;
    if written > 0 {
        db.prepare_cached(
            "INSERT INTO line (endpoint, state, since, cause) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (endpoint) DO UPDATE SET state = excluded.state, since = excluded.since,
             cause = excluded.cause, told_since = CASE excluded.state WHEN 'online' THEN NULL ELSE told_since END",
        )?
        .execute(params![
            line.endpoint.0,
            line.to.as_str(),
            row::stored_time(line.since),
            line.cause.as_str()
        ])?;
    }
    Ok(())
}

fn append_address(db: &Connection, line: &AddressChange) -> rusqlite::Result<()> {
    let to = line.to.to_string();
    db.prepare_cached(
        "INSERT INTO history (account, endpoint, kind, at, from_value, to_value)
         SELECT account, id, 'address', ?2, ?3, ?4 FROM endpoint WHERE id = ?1",
    )?
    .execute(params![
        line.endpoint.0,
        row::stored_time(line.at),
        line.from.map(|address| address.to_string()),
        to
    ])?;
    let update = match line.to {
        IpAddr::V4(_) => "UPDATE endpoint SET address_v4 = ?2 WHERE id = ?1",
        IpAddr::V6(_) => "UPDATE endpoint SET address_v6 = ?2 WHERE id = ?1",
    };
    db.prepare_cached(update)?.execute(params![line.endpoint.0, to]).map(drop)
}

fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let account = AccountId(row.get(0)?);
    let endpoint = EndpointId(row.get(1)?);
    let at = row::time(row.get(3)?);
    match row.get::<_, String>(2)?.as_str() {
        "state" => Ok(HistoryRow::State(Transition {
            account,
            endpoint,
            from: parsed(row, 4, str::parse::<LineState>)?,
            to: parsed(row, 5, str::parse::<LineState>)?,
            cause: parsed(row, 6, |word| Cause::from_stored(word).ok_or("not a cause"))?,
            at,
            since: row::time(row.get(7)?),
            address: parsed_optional(row, 8)?,
        })),
        "address" => Ok(HistoryRow::Address(AddressChange {
            account,
            endpoint,
            from: parsed_optional(row, 4)?,
            to: parsed(row, 5, str::parse::<IpAddr>)?,
            at,
        })),
        "no_data" => Ok(HistoryRow::NoData(NoData {
            account,
            endpoint,
            since: row::time(row.get(7)?),
            at,
            is_over: parsed(row, 5, |word| match word {
                "begun" => Ok(false),
                "over" => Ok(true),
                _ => Err("neither begun nor over"),
            })?,
        })),
        "interval" => {
            let interval = Duration::from_millis(parsed(row, 5, str::parse::<u64>)?);
            Ok(HistoryRow::Interval(IntervalChange { account, endpoint, interval, at }))
        }
        other => Err(odd(2, other)),
    }
}

/// A server whose stored state is odd is watched like a new one: it must be heard again either way.
fn watched(row: &Row<'_>) -> rusqlite::Result<WatchedEndpoint> {
    let stored: Option<String> = row.get(2)?;
    let state = stored.map(|word| word.parse::<LineState>()).transpose().unwrap_or_else(|error| {
        tracing::error!(table = "line", %error, "odd row is kept and skipped");
        None
    });
    let since: Option<i64> = row.get(3)?;
    let (interval, no_data_since): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok(WatchedEndpoint {
        account: AccountId(row.get(0)?),
        endpoint: EndpointId(row.get(1)?),
        state: state.unwrap_or(LineState::New),
        since: since.filter(|_| state.is_some_and(|state| state != LineState::New)).map(row::time),
        interval: interval.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis),
        no_data_since: no_data_since.map(row::time),
        cause: row.get::<_, Option<String>>(8)?.and_then(|word| Cause::from_stored(&word)),
        told_since: row.get::<_, Option<i64>>(9)?.map(row::time),
        address_v4: stored_address(row, 6)?,
        address_v6: stored_address(row, 7)?,
    })
}

/// An address that is odd is as good as none: the next proof replaces it.
fn stored_address<A: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<A>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| text.parse().ok()))
}

#[async_trait]
impl TransitionLog for SqliteStore {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), LogError> {
        self.write(Terms::SYNCED, move |work| {
            for line in &rows {
                append(work.connection, line)?;
            }
            Ok(())
        })
        .await
    }

    async fn note_told(&self, endpoint: EndpointId, since: WallTime) -> Result<(), LogError> {
        self.write(Terms::LAZY, move |work| {
            work.connection
                .prepare_cached("UPDATE line SET told_since = ?2 WHERE endpoint = ?1 AND state <> 'online'")?
                .execute(params![endpoint.0, row::stored_time(since)])?;
            Ok(())
        })
        .await
    }

    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT e.account, e.id, l.state, l.since, l.interval_ms, l.no_data_since, e.address_v4, e.address_v6,
                 l.cause, l.told_since FROM endpoint AS e
                 LEFT JOIN line AS l ON l.endpoint = e.id ORDER BY e.id",
            )?;
            let rows = statement.query_map([], watched)?;
            Ok(readable("line", rows)?)
        })
        .await
    }

    async fn history(&self, account: AccountId, limit: u32) -> Result<Vec<HistoryRow>, LogError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT account, endpoint, kind, at, from_value, to_value, cause, since, address FROM history
                 WHERE account = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![account.0, limit.min(HISTORY_ROWS_MAX)], history_row)?;
            Ok(readable("history", rows)?)
        })
        .await
    }

    async fn days(
        &self,
        account: AccountId,
        from: NaiveDate,
        to: NaiveDate,
        now: WallTime,
    ) -> Result<Vec<DaySummary>, LogError> {
        self.read(move |db| Ok(day::filled(&day_table::rows(db, account, from, to)?, from, to, now))).await
    }

    async fn purge_history(&self, before: WallTime) -> Result<u64, LogError> {
        let before = row::stored_time(before);
        let mut purged = 0;
        loop {
            let gone = self
                .write(Terms::LAZY, move |work| {
                    // Rows stand in the order of their writing, so the oldest are found without an index of times.
                    Ok::<_, LogError>(
                        work.connection
                            .prepare_cached(
                                "DELETE FROM history WHERE at < ?1
                                 AND id IN (SELECT id FROM history ORDER BY id LIMIT ?2)",
                            )?
                            .execute(params![before, PURGED_AT_ONCE_MAX])?,
                    )
                })
                .await?;
            purged += u64::try_from(gone).unwrap_or(0);
            if gone < PURGED_AT_ONCE_MAX as usize {
                return Ok(purged);
            }
        }
    }
}
