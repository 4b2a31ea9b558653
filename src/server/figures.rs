//! Reads from the rooms what the metrics tell.

use std::net::TcpListener;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use super::health::Essentials;
use crate::base::{Clock, WallTime};
use crate::control::reply::StatusShown;
use crate::control::{Desk, Reply, Request};
use crate::liveness::Lines;
use crate::metrics::{self, Figures, FiguresSource};
use crate::spool::SpoolStore;
use crate::web::readiness::Readiness;

/// Serves the figures on these listeners until the shutdown.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
    (desk, essentials, lines, readiness): (&Arc<Desk>, &Essentials, &Arc<dyn Lines>, &Arc<Readiness>),
    shutdown: &CancellationToken,
) -> Result<(), StartError> {
    let source = Source {
        desk: Arc::clone(desk),
        essentials: essentials.clone(),
        lines: Arc::clone(lines),
        readiness: Arc::clone(readiness),
    };
    metrics::driver::serve(listeners, Arc::new(source), lines, shutdown).map_err(|e| StartError::Listen(e.to_string()))
}

fn certificate_left(status: &StatusShown, now: WallTime) -> Option<u64> {
    let end = status.certificate.as_ref()?.not_after?;
    Some(u64::try_from((end - now).num_seconds()).unwrap_or(0))
}

/// Where the figures come from.
struct Source {
    desk: Arc<Desk>,
    essentials: Essentials,
    lines: Arc<dyn Lines>,
    readiness: Arc<Readiness>,
}

#[async_trait]
impl FiguresSource for Source {
    async fn figures(&self) -> Result<Figures, String> {
        let now = Clock.wall();
        let status = match self.desk.carry_out(Request::Status, now).await {
            Ok(Reply::Status(status)) => status,
            Ok(_) => return Err("the status has another shape".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let store = &self.essentials.store;
        let oldest = store.oldest_waiting().await.map_err(|error| error.to_string())?;
        let seconds_since = |at: WallTime| u64::try_from((now - at).num_seconds()).unwrap_or(0);
        Ok(Figures {
            uptime: status.started_at.map_or(0, seconds_since),
            certificate_left: certificate_left(&status, now),
            status,
            beats: self.essentials.beats.counters(),
            store: store.statistics(),
            room: store.room(),
            oldest_waiting: oldest.iter().map(|waiting| seconds_since(waiting.accepted_at)).max(),
            parts_missing: u64::try_from(self.readiness.missing().len()).unwrap_or(u64::MAX),
            is_own_outage: self.lines.own_outage().is_some(),
        })
    }
}
