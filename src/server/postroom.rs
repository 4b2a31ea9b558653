//! Passes news of mail on: to delivery, to open pages, to the replies to heartbeats.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use crate::account::DirectoryHandle;
use crate::base::{AccountId, Clock, DomainName, Mailbox};
use crate::delivery::{Deliveries, Flushes, RecipientWitness};
use crate::liveness::driver::Liveness;
use crate::recipient::Recipients;
use crate::smtp::StoredListener;
use crate::spool::SpoolStore;
use crate::update::Updates;

/// Passes the news of stored mail on to delivery and to open pages.
pub(super) struct Postroom {
    pub(super) spool: Arc<dyn SpoolStore>,
    pub(super) flushes: Arc<dyn Flushes>,
    pub(super) pages: broadcast::Sender<AccountId>,
    pub(super) counts: Arc<WaitingCounts>,
}

impl StoredListener for Postroom {
    fn mail_stored(&self, accounts: &[AccountId]) {
        self.flushes.mail_stored(accounts);
        for account in accounts {
            self.counts.tell(*account);
            // Nobody listening is the ordinary case: no page is open.
            let _ = self.pages.send(*account);
        }
    }

    fn flush_wanted(&self, account: AccountId) {
        let (spool, flushes) = (Arc::clone(&self.spool), Arc::clone(&self.flushes));
        tokio::spawn(async move {
            if let Err(error) = spool.make_due(account, Clock.wall()).await {
                tracing::error!(%account, %error, "mail that was asked for keeps its times");
            }
            flushes.retry(account);
        });
    }
}

/// Tells the heartbeat replies how many messages wait.
pub(super) struct WaitingCounts {
    spool: Arc<dyn SpoolStore>,
    liveness: Arc<Liveness>,
}

impl WaitingCounts {
    pub(super) fn start(
        spool: &Arc<dyn SpoolStore>,
        liveness: &Arc<Liveness>,
        flushes: &Arc<dyn Flushes>,
        directory: &DirectoryHandle,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        let counts = Arc::new(Self { spool: Arc::clone(spool), liveness: Arc::clone(liveness) });
        tokio::spawn(Arc::clone(&counts).follow(Arc::clone(flushes), directory.clone(), shutdown.clone()));
        counts
    }

    fn tell(&self, account: AccountId) {
        let waiting = self.spool.usage(account).waiting;
        self.liveness.set_waiting(account, u32::try_from(waiting).unwrap_or(u32::MAX));
    }

    /// All accounts now, then each whose delivery moves.
    async fn follow(
        self: Arc<Self>,
        flushes: Arc<dyn Flushes>,
        directory: DirectoryHandle,
        shutdown: CancellationToken,
    ) {
        let mut changes = flushes.subscribe();
        loop {
            for account in directory.load().accounts() {
                self.tell(account.id);
            }
            loop {
                let changed = tokio::select! {
                    () = shutdown.cancelled() => return,
                    changed = changes.recv() => changed,
                };
                match changed {
                    Ok(account) => self.tell(account),
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        }
    }
}

/// Passes on what primaries say of mailboxes.
struct Learner(Arc<Recipients>);

impl RecipientWitness for Learner {
    fn handle_recipient(&self, account: AccountId, mailbox: &Mailbox, is_accepted: bool) {
        self.0.learn(account, mailbox, is_accepted);
    }

    fn is_known_good(&self, account: AccountId, mailbox: &Mailbox) -> bool {
        self.0.knowledge(account, mailbox).is_good()
    }

    fn wants_call_out(&self, account: AccountId, domain: &DomainName) -> bool {
        self.0.wants_call_out(account, domain)
    }

    fn handle_call_out(&self, account: AccountId, domain: &DomainName, takes_everybody: bool) {
        self.0.called_out(account, domain, takes_everybody);
    }
}

/// Deliveries ask updates whether beats come, updates ask deliveries for proofs and tell open pages of requests.
pub(super) fn acquaint(deliveries: &Arc<Deliveries>, updates: &Arc<Updates>, pages: &broadcast::Sender<AccountId>) {
    deliveries.ask_for_beats(Arc::clone(updates) as _);
    updates.prove_by(Arc::clone(deliveries));
    updates.tell_pages(pages.clone());
}

/// Tells delivery of those that were started after it.
pub(super) fn introduce(deliveries: &Arc<Deliveries>, keeper: &Arc<Keeper>, recipients: &Arc<Recipients>) {
    deliveries.keep_pins(Arc::clone(keeper) as _);
    deliveries.tell_of_recipients(Arc::new(Learner(Arc::clone(recipients))));
}
