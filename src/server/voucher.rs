//! Takes in which keys clients report of their mail servers, so that a renewed certificate holds no mail.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::account::{AccountStore, Change, DirectoryHandle};
use crate::base::{AccountId, Clock, EndpointId};
use crate::delivery::driver::Deliveries;
use crate::delivery::identity::fingerprint;
use crate::delivery::view::Flushes as _;
use crate::heartbeat::server::KeyReport;
use crate::spool::SpoolStore;
use crate::update::limit::{Buckets, Rate};

/// Signatures of one server that are checked at once, and between two more: a certificate is renewed every few weeks, a
/// check takes 58 µs and a good one a row of the audit log.
const SIGNATURES: Rate = Rate { burst: 10, every: Duration::from_secs(60) };
/// Who vouches, in the audit log.
const ACTOR: &str = "heartbeat";

/// What a report is about.
pub(super) struct VoucherRooms {
    pub(super) accounts: Arc<dyn AccountStore>,
    pub(super) directory: DirectoryHandle,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) spool: Arc<dyn SpoolStore>,
}

/// Takes reports until `shutdown`.
pub(super) async fn run(rooms: VoucherRooms, mut reports: mpsc::Receiver<KeyReport>, shutdown: CancellationToken) {
    let mut budget = Buckets::new(SIGNATURES);
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            () = shutdown.cancelled() => return,
        };
        let Some(report) = report else { return };
        rooms.handle(&report, &mut budget).await;
    }
}

impl VoucherRooms {
    async fn handle(&self, report: &KeyReport, budget: &mut Buckets<EndpointId>) {
        let (account, endpoint) = (report.account, report.endpoint);
        let Some(pin) = self.directory.load().endpoint(endpoint).map(|known| known.pin) else { return };
        if pin == Some(report.digest) {
            // What is trusted already needs no signature; what was vouched for before is over.
            self.deliveries.vouch(endpoint, None);
            return;
        }
        if self.deliveries.vouched_key(endpoint) == Some(report.digest) {
            return;
        }
        if !budget.take(endpoint, Clock.monotonic()) {
            tracing::warn!(%account, %endpoint, "the client reports other keys again and again; this one was not looked at");
            return;
        }
        let key = fingerprint(&report.digest);
        if !report.is_signed() {
            tracing::warn!(%account, %endpoint, key, locator = %report.locator, "a key was reported without the token's signature");
            return;
        }
        if self.deliveries.vouch(endpoint, Some(report.digest)) {
            tracing::info!(%account, %endpoint, key, "the client vouches for the key of its mail server");
            let change = Change { at: Clock.wall(), who: ACTOR.to_owned() };
            if let Err(error) = self.accounts.note(format!("endpoint.vouch {endpoint} {key}"), change).await {
                tracing::error!(%account, %endpoint, %error, "what a client vouches for was not written to the audit log");
            }
            self.try_again(account).await;
        }
    }

    /// A server that was a stranger a moment ago may be known by now: its mail need not wait.
    async fn try_again(&self, account: AccountId) {
        if self.deliveries.view(account).doubt.is_none() {
            return;
        }
        if let Err(error) = self.spool.make_due(account, Clock.wall()).await {
            tracing::error!(%account, %error, "mail of a server that is known again keeps its times");
        }
        self.deliveries.retry(account);
    }
}
