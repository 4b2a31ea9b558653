//! Delivers the mail of all accounts: hears of lines and of new mail, and starts a worker where there is work.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Common;
use super::flush::{Wake, Worker};
use super::settings::Settings;
use super::tls::client_config;
use super::view::{FlushView, Flushes};
use crate::account::DirectoryHandle;
use crate::base::{AccountId, EndpointId};
use crate::liveness::{LineEvent, LineState, Lines};
use crate::spool::SpoolStore;

/// Longest wait for running messages at shutdown; what is not done by then returns to the queue at the next start.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Changes of views that a slow reader may lag behind.
const CHANGES_QUEUED: usize = 1024;

/// Delivery of all accounts.
pub struct Deliveries {
    common: Arc<Common>,
    workers: TaskTracker,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// Delivery cannot start.
#[derive(Debug, thiserror::Error)]
#[error("TLS for delivery cannot be set up: {0}")]
pub struct StartError(#[from] rustls::Error);

impl Deliveries {
    /// Listens to lines from now on and looks at every account once. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] for a build without TLS.
    pub fn start(
        settings: Settings,
        directory: DirectoryHandle,
        lines: Arc<dyn Lines>,
        spool: Arc<dyn SpoolStore>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, StartError> {
        let places = Arc::new(Semaphore::new(settings.connections_max.max(1)));
        let events = lines.subscribe();
        let common = Arc::new(Common {
            settings,
            directory,
            lines,
            spool,
            tls: client_config()?,
            places,
            changes: broadcast::channel(CHANGES_QUEUED).0,
            shutdown,
            slots: Mutex::new(HashMap::new()),
        });
        let deliveries = Arc::new(Self { common, workers: TaskTracker::new() });
        deliveries.look_everywhere();
        let listener = Arc::clone(&deliveries);
        deliveries.workers.spawn(async move { listener.listen(events).await });
        Ok(deliveries)
    }

    /// Waits for running messages after the shutdown token was cancelled. `true` if all of them ended in time.
    pub async fn drain(&self) -> bool {
        self.workers.close();
        let ended = tokio::time::timeout(DRAIN_MAX, self.workers.wait()).await.is_ok();
        if !ended {
            tracing::warn!("deliveries did not end in time; their messages are delivered after the next start");
        }
        ended
    }

    async fn listen(&self, mut events: broadcast::Receiver<LineEvent>) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = self.common.shutdown.cancelled() => return,
            };
            match event {
                Ok(event) => self.handle_event(&event),
                // Some return may be among the lost ones.
                Err(broadcast::error::RecvError::Lagged(_)) => self.look_everywhere(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn handle_event(&self, event: &LineEvent) {
        let (account, endpoint) = match event {
            LineEvent::Changed(row) => (row.account(), row.endpoint()),
            LineEvent::Suspicion { account, endpoint, .. } | LineEvent::MailAccepted { account, endpoint } => {
                (*account, *endpoint)
            }
        };
        let beat = self.common.lines.line(endpoint).and_then(|line| line.last_beat);
        if let Some(wake) = Wake::of_event(event, beat) {
            self.wake(account, wake);
        }
    }

    fn look_everywhere(&self) {
        let directory = self.common.directory.load();
        for account in directory.accounts() {
            let returning = |id| self.common.lines.line(id).is_some_and(|line| line.state == LineState::Returning);
            let calls: Vec<EndpointId> =
                directory.endpoints_of(account.id).into_iter().map(|e| e.id).filter(|id| returning(*id)).collect();
            let make_due = !calls.is_empty();
            self.wake(account.id, Wake { calls, make_due, reset: true, ..Wake::look() });
        }
    }

    fn wake(&self, account: AccountId, wake: Wake) {
        if self.common.shutdown.is_cancelled() {
            return;
        }
        if self.common.wake(account, wake) {
            self.workers.spawn(Worker::new(Arc::clone(&self.common), account).run());
        }
    }
}

impl Flushes for Deliveries {
    fn mail_stored(&self, accounts: &[AccountId]) {
        for account in accounts {
            self.wake(*account, Wake::look());
        }
    }

    fn retry(&self, account: AccountId) {
        self.wake(account, Wake::retry());
    }

    fn view(&self, account: AccountId) -> FlushView {
        self.common.view(account)
    }

    fn subscribe(&self) -> broadcast::Receiver<AccountId> {
        self.common.changes.subscribe()
    }
}
