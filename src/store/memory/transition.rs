//! The history of the lines, in memory.

use std::net::IpAddr;

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::base::AccountId;
use crate::liveness::{HistoryRow, LineState, LogError, TransitionLog, WatchedEndpoint};

fn append(tables: &mut Tables, row: HistoryRow) {
    let named = match &row {
        HistoryRow::State(row) => row.endpoint,
        HistoryRow::Address(row) => row.endpoint,
    };
    let Some(endpoint) = tables.endpoints.get_mut(&named) else { return };
    let account = endpoint.account;
    match &row {
        HistoryRow::State(row) => {
            tables.lines.insert(named, (row.to, row.since));
        }
        HistoryRow::Address(row) => match row.to {
            IpAddr::V4(v4) => endpoint.address_v4 = Some(v4),
            IpAddr::V6(v6) => endpoint.address_v6 = Some(v6),
        },
    }
    tables.history.push((account, named, row));
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

    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        let tables = self.tables();
        Ok(tables
            .endpoints
            .values()
            .map(|endpoint| {
                let line = tables.lines.get(&endpoint.id).filter(|(state, _)| *state != LineState::New);
                WatchedEndpoint {
                    account: endpoint.account,
                    endpoint: endpoint.id,
                    state: line.map_or(LineState::New, |(state, _)| *state),
                    since: line.map(|(_, since)| *since),
                }
            })
            .collect())
    }

    async fn history(&self, account: AccountId, limit: u32) -> Result<Vec<HistoryRow>, LogError> {
        let tables = self.tables();
        let own = tables.history.iter().rev().filter(|(owner, _, _)| *owner == account);
        Ok(own.take(limit.min(1_000) as usize).map(|(_, _, row)| row.clone()).collect())
    }
}
