//! Watches the lines and tells the operator by the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::policy::{Notice, NoticeKind, Policy};
use crate::account::DirectoryHandle;
use crate::base::Clock;
use crate::liveness::{HistoryRow, LineEvent, Lines};

/// Sleep when nothing is due; any event wakes.
const IDLE: Duration = Duration::from_secs(3_600);

/// Runs until the shutdown.
pub async fn run(lines: Arc<dyn Lines>, directory: DirectoryHandle, shutdown: CancellationToken) {
    let mut events = lines.subscribe();
    let mut policy = Policy::default();
    loop {
        while let Some(notice) = policy.poll_notice() {
            tell(&notice, &directory);
        }
        let wait = policy.poll_timeout().map_or(IDLE, |at| at.since(Clock.monotonic()));
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => policy.handle_timeout(Clock.monotonic()),
            event = events.recv() => match event {
                Ok(LineEvent::Changed(HistoryRow::State(row))) => policy.handle_transition(&row, Clock.monotonic()),
                Ok(LineEvent::Changed(HistoryRow::Address(_)) | LineEvent::Suspicion { .. } | LineEvent::MailAccepted { .. }) => {}
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "alerts were too slow for the events of the lines"),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

fn tell(notice: &Notice, directory: &DirectoryHandle) {
    let directory = directory.load();
    let account = directory.account(notice.account).map_or("?", |account| account.name.as_str());
    match &notice.kind {
        NoticeKind::Silent { since } => {
            tracing::warn!(alert = "silent", account, since = %since.to_rfc3339(), "no heartbeats: neutralised, mail is held");
        }
        NoticeKind::StaysAway { since } => {
            tracing::warn!(alert = "stays_away", account, since = %since.to_rfc3339(), "said goodbye and has not come back");
        }
        NoticeKind::Back { after } => {
            tracing::info!(alert = "back", account, outage_s = after.as_secs(), "heartbeats are back");
        }
    }
}
