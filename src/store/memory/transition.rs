//! The history of the lines, in memory.

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::NaiveDate;

use super::{MemoryStore, Tables};
use crate::base::{AccountId, EndpointId, WallTime};
use crate::liveness::day::{self, DayRow, Standing};
use crate::liveness::{DaySummary, HistoryRow, LineState, LogError, TransitionLog, WatchedEndpoint};

fn append(tables: &mut Tables, row: HistoryRow) {
    let named = row.endpoint();
    let Some(endpoint) = tables.endpoints.get_mut(&named) else { return };
    let account = endpoint.account;
    match &row {
        HistoryRow::State(row) => {
            let line = tables.lines.entry(named).or_default();
            (line.state, line.cause) = (Some((row.to, row.since)), Some(row.cause));
            line.told_since = line.told_since.filter(|_| row.to != LineState::Online);
        }
        HistoryRow::Address(row) => match row.to {
            IpAddr::V4(v4) => endpoint.address_v4 = Some(v4),
            IpAddr::V6(v6) => endpoint.address_v6 = Some(v6),
        },
        HistoryRow::NoData(row) => {
            tables.lines.entry(named).or_default().no_data_since = (!row.is_over).then_some(row.since);
        }
        HistoryRow::Interval(row) => tables.lines.entry(named).or_default().interval = Some(row.interval),
    }
    count(tables, account, &row);
    tables.history.push((account, named, row));
}

fn count(tables: &mut Tables, account: AccountId, row: &HistoryRow) {
    let lines = tables.endpoints.values().filter(|endpoint| endpoint.account == account);
    let lines = lines.filter_map(|endpoint| tables.lines.get(&endpoint.id));
    let standing = Standing::best(lines.map(|line| {
        let state = line.state.map_or(LineState::New, |(state, _)| state);
        Standing::of(state, line.no_data_since.is_some())
    }));
    let newest = tables.days.range((account, NaiveDate::MIN)..=(account, NaiveDate::MAX)).next_back();
    let counted = day::counted(newest.map(|(_, row)| *row), row, standing);
    tables.days.insert((account, counted.counted.day), counted);
}

#[async_trait]
impl TransitionLog for MemoryStore {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), LogError> {
        let mut tables = self.tables();
        for row in rows {
            append(&mut tables, row);
        }
        Ok(())
    }

    async fn note_told(&self, endpoint: EndpointId, since: WallTime) -> Result<(), LogError> {
        let mut tables = self.tables();
        let line = tables.lines.get_mut(&endpoint);
        if let Some(line) = line.filter(|line| line.state.is_some_and(|(state, _)| state != LineState::Online)) {
            line.told_since = Some(since);
        }
        Ok(())
    }

    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        let tables = self.tables();
        Ok(tables
            .endpoints
            .values()
            .map(|endpoint| {
                let line = tables.lines.get(&endpoint.id).copied().unwrap_or_default();
                let heard = line.state.filter(|(state, _)| *state != LineState::New);
                WatchedEndpoint {
                    state: heard.map_or(LineState::New, |(state, _)| state),
                    since: heard.map(|(_, since)| since),
                    interval: line.interval,
                    no_data_since: line.no_data_since,
                    cause: line.cause,
                    told_since: line.told_since,
                    address_v4: endpoint.address_v4,
                    address_v6: endpoint.address_v6,
                    ..WatchedEndpoint::new(endpoint.account, endpoint.id)
                }
            })
            .collect())
    }

    async fn history(&self, account: AccountId, limit: u32) -> Result<Vec<HistoryRow>, LogError> {
        let tables = self.tables();
        let own = tables.history.iter().rev().filter(|(owner, _, _)| *owner == account);
        Ok(own.take(limit.min(1_000) as usize).map(|(_, _, row)| row.clone()).collect())
    }

    async fn days(
        &self,
        account: AccountId,
        from: NaiveDate,
        to: NaiveDate,
        now: WallTime,
    ) -> Result<Vec<DaySummary>, LogError> {
        let tables = self.tables();
        let own = tables.days.range((account, NaiveDate::MIN)..=(account, to));
        let rows: Vec<DayRow> = own.map(|(_, row)| *row).collect();
        Ok(day::filled(&rows, from, to, now))
    }

    async fn purge_history(&self, before: WallTime) -> Result<u64, LogError> {
        let mut tables = self.tables();
        let held = tables.history.len();
        tables.history.retain(|(_, _, row)| row.at() >= before);
        Ok((held - tables.history.len()) as u64)
    }
}
