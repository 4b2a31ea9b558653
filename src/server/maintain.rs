//! What has to be done now and then: old envelopes and old changes of lines go, accounts that left too, run-out
//! heartbeat keys are forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use crate::base::Clock;
use crate::control::DirectoryKeeper;
use crate::liveness::TransitionLog;
use crate::spool::SpoolStore;
use crate::update::Updates;

/// Between two rounds. The limits it enforces are days.
const ROUND: Duration = Duration::from_secs(600);

/// How long each change of a line is kept; what it amounts to stays in the days: a year, and a month to look back.
const KEEP_HISTORY: Duration = Duration::from_secs(400 * 86_400);

/// Rounds until the shutdown; the first one at once.
pub async fn run(
    spool: Arc<dyn SpoolStore>,
    log: Arc<dyn TransitionLog>,
    keeper: Arc<Keeper>,
    updates: Arc<Updates>,
    keep_delivered: Duration,
    shutdown: CancellationToken,
) {
    loop {
        match spool.purge_delivered(Clock.wall() - keep_delivered).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(purged, "envelopes of delivered mail removed"),
            Err(error) => tracing::error!(%error, "envelopes of delivered mail not removed"),
        }
        match log.purge_history(Clock.wall() - KEEP_HISTORY).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(purged, "old changes of lines removed"),
            Err(error) => tracing::error!(%error, "old changes of lines not removed"),
        }
        if keeper.remove_left(Clock.wall()).await > 0
            && let Err(error) = updates.reload().await
        {
            tracing::error!(%error, "names of removed accounts are forgotten at the next start only");
        }
        if let Err(error) = keeper.reload().await {
            tracing::error!(%error, "accounts not read again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}
