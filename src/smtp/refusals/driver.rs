//! Writes refused recipients in batches, apart from the sessions: none of them waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{KEPT_FOR, Quota, RefusalStore, Refused};
use crate::base::Clock;

/// Rows that wait to be written; a flood beyond that is not kept.
const QUEUED_MAX: usize = 2_000;
/// Rows of one commit.
const BATCH_MAX: usize = 500;
/// Between two commits.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two removals of old rows.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// Where sessions leave what they refused.
#[derive(Clone, Debug)]
pub struct RefusalLedger(mpsc::Sender<Refused>);

impl RefusalLedger {
    /// Begins to write; ends with the last clone of the ledger.
    #[must_use]
    pub fn start(store: Arc<dyn RefusalStore>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUED_MAX);
        tokio::spawn(write(receiver, store));
        Self(sender)
    }

    /// Leaves one. Returns at once.
    pub fn note(&self, refused: Refused) {
        // A full queue is a flood, of which the first thousands tell enough.
        let _ = self.0.try_send(refused);
    }
}

async fn write(mut queue: mpsc::Receiver<Refused>, store: Arc<dyn RefusalStore>) {
    let (mut quota, mut batch) = (Quota::default(), Vec::new());
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            count = queue.recv_many(&mut batch, BATCH_MAX) => {
                if count == 0 {
                    return;
                }
                batch.retain(|refused| quota.admits(refused.account, refused.at));
                if !batch.is_empty() && let Err(error) = store.note_refusals(std::mem::take(&mut batch)).await {
                    tracing::warn!(%error, "refused recipients were not noted");
                }
                tokio::time::sleep(PAUSE).await;
            }
            _ = sweep.tick() => {
                if let Err(error) = store.forget_refusals(Clock.wall() - KEPT_FOR).await {
                    tracing::warn!(%error, "old refused recipients were not removed");
                }
            }
        }
    }
}
