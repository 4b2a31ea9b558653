//! Carries news from the other rooms to the open pages of each account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::StreamBudget;
use crate::base::AccountId;
use crate::delivery::view::Flushes;
use crate::liveness::{LineEvent, Lines};
use crate::web::settings::{STREAMS_MAX, STREAMS_PER_ACCOUNT_MAX};

/// One bell per account with an open page. A page that wakes looks at the state itself, so news are never lost,
/// only joined.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    budget: StreamBudget,
    bells: HashMap<AccountId, watch::Sender<u64>>,
}

/// A place for one open page; given back on drop.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    account: AccountId,
    /// Changes with each piece of news.
    pub(crate) bell: watch::Receiver<u64>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if inner.budget.give_back(self.account) {
            inner.bells.remove(&self.account);
        }
    }
}

impl Hub {
    /// No page is open yet.
    pub(crate) fn new() -> Arc<Self> {
        let budget = StreamBudget::new(STREAMS_PER_ACCOUNT_MAX, STREAMS_MAX);
        Arc::new(Self { inner: Mutex::new(Inner { budget, bells: HashMap::new() }) })
    }

    /// A place for one more page, unless too many are open.
    pub(crate) fn seat(self: &Arc<Self>, account: AccountId) -> Option<Seat> {
        let mut inner = self.lock();
        if !inner.budget.take(account) {
            return None;
        }
        let bell = inner.bells.entry(account).or_insert_with(|| watch::channel(0).0).subscribe();
        Some(Seat { hub: self.clone(), account, bell })
    }

    /// News of one account.
    pub(crate) fn ring(&self, account: AccountId) {
        if let Some(bell) = self.lock().bells.get(&account) {
            bell.send_modify(|n| *n += 1);
        }
    }

    fn ring_all(&self) {
        #[expect(clippy::iter_over_hash_type, reason = "every bell rings; the order is of no consequence")]
        for bell in self.lock().bells.values() {
            bell.send_modify(|n| *n += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to liveness, delivery and intake until `shutdown`.
    pub(crate) async fn run(
        self: Arc<Self>,
        lines: Arc<dyn Lines>,
        flushes: Arc<dyn Flushes>,
        mut stored_events: broadcast::Receiver<AccountId>,
        shutdown: CancellationToken,
    ) {
        let (mut line_events, mut flush_events) = (lines.subscribe(), flushes.subscribe());
        let (mut has_lines, mut has_flushes, mut has_stored) = (true, true, true);
        loop {
            let heard = tokio::select! {
                () = shutdown.cancelled() => return,
                event = line_events.recv(), if has_lines => event.map(|event| account_of(&event)).map_err(|e| (e, &mut has_lines)),
                event = flush_events.recv(), if has_flushes => event.map_err(|e| (e, &mut has_flushes)),
                event = stored_events.recv(), if has_stored => event.map_err(|e| (e, &mut has_stored)),
                else => return,
            };
            match heard {
                Ok(account) => self.ring(account),
                Err((RecvError::Lagged(_), _)) => self.ring_all(),
                Err((RecvError::Closed, is_open)) => *is_open = false,
            }
        }
    }
}

const fn account_of(event: &LineEvent) -> AccountId {
    match event {
        LineEvent::Changed(row) => row.account(),
        LineEvent::Suspicion { account, .. }
        | LineEvent::MailAccepted { account, .. }
        | LineEvent::MailRefused { account, .. }
        | LineEvent::Heard { account, .. }
        | LineEvent::Greeted { account, .. } => *account,
    }
}
