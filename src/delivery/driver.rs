//! Delivers the mail of all accounts: hears of lines and of new mail, and starts a worker where there is work.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alarm::Alarm;
use super::board::Common;
use super::dress::Voucher;
use super::flush::{Wake, Worker};
use super::identity::KeyDigest;
use super::opening::Opening;
use super::route::Leg;
use super::schedule::REPORT_RETRY;
use super::settings::Settings;
use super::target::check_target;
use super::through::driver::Through;
use super::tls::ClientTls;
use super::view::{FlushView, Flushes, MailPaths};
use crate::account::{AccountError, Change, DirectoryHandle, Manners, OnlineMode};
use crate::base::{AccountId, DomainName, EndpointId, Mailbox, Moment};
use crate::liveness::{LineEvent, LineState, Lines};
use crate::spool::{Hold, SpoolStore};

/// Longest wait for running messages at shutdown; what is not done by then returns to the queue at the next start.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Changes of views that a slow reader may lag behind.
const CHANGES_QUEUED: usize = 1024;

/// Alarms that a slow listener may lag behind.
const ALARMS_QUEUED: usize = 256;

/// Stores the keys by which mail servers prove themselves, and tells memory.
#[async_trait]
pub trait PinKeeper: Send + Sync {
    /// Pins a key, or forgets the pinned one. When it returns, the directory in memory has it.
    async fn set_pin(&self, endpoint: EndpointId, pin: Option<[u8; 32]>, change: Change) -> Result<(), AccountError>;
    /// Keeps what a server offers; the same of the directory.
    async fn set_manners(&self, endpoint: EndpointId, manners: Manners) -> Result<(), AccountError>;
}

/// Whoever wants to know which mailboxes a primary has.
pub trait RecipientWitness: Send + Sync {
    /// It took mail for a mailbox, or said for good that there is none of that name.
    fn handle_recipient(&self, account: AccountId, mailbox: &Mailbox, is_accepted: bool);
    /// Whether the customer says that there is such a mailbox, or the primary took mail for it before.
    fn is_known_good(&self, account: AccountId, mailbox: &Mailbox) -> bool;
    /// Whether the primary is to be asked now for an address of that domain that nobody has. Yes once, then no for a while.
    fn wants_call_out(&self, account: AccountId, domain: &DomainName) -> bool {
        let _ = (account, domain);
        false
    }
    /// It would take mail for such an address, or would not.
    fn handle_call_out(&self, account: AccountId, domain: &DomainName, takes_everybody: bool) {
        let _ = (account, domain, takes_everybody);
    }
}

/// Whoever knows where heartbeats come from.
pub trait BeatSource: Send + Sync {
    /// Whether heartbeats come for this server; else we only call at an address that was reported for it.
    fn has_beats(&self, endpoint: EndpointId) -> bool;
}

/// Delivery of all accounts.
pub struct Deliveries {
    pub(super) common: Arc<Common>,
    pub(super) workers: TaskTracker,
    pub(super) through: Arc<Through>,
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
        let tls = ClientTls::new(&settings.authorities)?;
        let common = Arc::new(Common {
            online_mode: Mutex::new(settings.online_mode),
            settings,
            directory,
            lines,
            spool,
            tls,
            places,
            awaited: AtomicUsize::new(0),
            lanes: Mutex::default(),
            is_ready: AtomicBool::new(false),
            pins: OnceLock::new(),
            witness: OnceLock::new(),
            voucher: OnceLock::new(),
            beats: OnceLock::new(),
            vouched: Mutex::default(),
            cuts: Mutex::default(),
            alarms: broadcast::channel(ALARMS_QUEUED).0,
            changes: broadcast::channel(CHANGES_QUEUED).0,
            shutdown,
            slots: Mutex::new(HashMap::new()),
        });
        let through = Arc::new(Through::new(&common.settings));
        let deliveries = Arc::new(Self { common, workers: TaskTracker::new(), through });
        let listener = Arc::clone(&deliveries);
        deliveries.workers.spawn(async move {
            listener.load_holds().await;
            listener.look_everywhere(false);
            listener.listen(events).await;
        });
        Ok(deliveries)
    }

    /// What accounts do from now on that settled nothing for mail that comes while their server is there.
    pub fn set_online_mode(&self, mode: OnlineMode) {
        *self.common.online_mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
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

    /// Who stores pins; without, none is learned.
    pub fn keep_pins(&self, keeper: Arc<dyn PinKeeper>) {
        // Set once, at the start.
        let _ = self.common.pins.set(keeper);
    }

    /// Who is told what primaries say of mailboxes.
    pub fn tell_of_recipients(&self, witness: Arc<dyn RecipientWitness>) {
        // Set once, at the start.
        let _ = self.common.witness.set(witness);
    }

    /// Who vouches for senders towards primaries that trust us.
    pub fn vouch_by(&self, voucher: Arc<dyn Voucher>) {
        // Set once, at the start.
        let _ = self.common.voucher.set(voucher);
    }

    /// Who knows where heartbeats come from.
    pub fn ask_for_beats(&self, source: Arc<dyn BeatSource>) {
        // Set once, at the start.
        let _ = self.common.beats.set(source);
    }

    /// Whether the server of `endpoint` greets at an address of its own and proves itself there. Brings no mail.
    pub async fn is_proven_at(&self, endpoint: EndpointId, address: IpAddr) -> bool {
        let Some(known) = self.common.directory.load().endpoint(endpoint).cloned() else { return false };
        let settings = &self.common.settings;
        let Ok(target) = check_target(SocketAddr::new(address, known.smtp_port), settings.target_rules()) else {
            return false;
        };
        let leg = Leg {
            endpoint,
            host: known.host,
            target,
            pin: known.pin,
            domains: Vec::new(),
            takes_mail: false,
            is_detour: false,
        };
        let greeting = settings.timeouts.greeting;
        let opening = Opening { settings, leg: &leg, tls: &self.common.tls, is_plain: false, greeting };
        let Ok(opened) = opening.run().await else { return false };
        // Politeness; nothing depends on it.
        let _ = opened.stream.send(b"QUIT\r\n").await;
        self.common.judge(&leg, opened.tls.as_ref()).is_ok()
    }

    /// The client beside a server vouches for this key, and its token signed that; absent: for the pinned one. `true` if
    /// that is news. The pin moves once the server shows the key and takes a message.
    pub fn vouch(&self, endpoint: EndpointId, key: Option<KeyDigest>) -> bool {
        let mut vouched = self.common.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        match key {
            Some(key) => vouched.insert(endpoint, key) != Some(key),
            None => vouched.remove(&endpoint).is_some(),
        }
    }

    /// What a person has to know, from now on.
    #[must_use]
    pub fn alarms(&self) -> broadcast::Receiver<Alarm> {
        self.common.alarms.subscribe()
    }

    /// Holds from before the start are in force before anything is delivered.
    async fn load_holds(&self) {
        loop {
            match self.common.spool.holds().await {
                Ok(holds) => {
                    holds.into_iter().for_each(|(account, hold)| self.common.set_hold(account, Some(hold)));
                    self.common.is_ready.store(true, Ordering::Release);
                    return;
                }
                Err(error) => {
                    tracing::error!(reason = %error, "holds could not be read; nothing is delivered before they are");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(REPORT_RETRY) => {}
                () = self.common.shutdown.cancelled() => return,
            }
        }
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
                Err(broadcast::error::RecvError::Lagged(_)) => self.look_everywhere(true),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn handle_event(&self, event: &LineEvent) {
        let (account, endpoint) = match event {
            LineEvent::Changed(row) => (row.account(), row.endpoint()),
            LineEvent::Suspicion { account, endpoint, .. }
            | LineEvent::Addresses { account, endpoint }
            | LineEvent::MailAccepted { account, endpoint } => (*account, *endpoint),
            LineEvent::MailRefused { .. } | LineEvent::Greeted { .. } => return,
        };
        let beat = self.common.lines.line(endpoint).and_then(|line| line.last_beat);
        if let Some(wake) = Wake::of_event(event, beat) {
            self.wake(account, wake);
        }
    }

    /// `is_after_gap`: events were lost, a return or a move among them, perhaps.
    fn look_everywhere(&self, is_after_gap: bool) {
        let directory = self.common.directory.load();
        for account in directory.accounts() {
            self.wake(account.id, standing(&self.common, account.id, is_after_gap));
        }
    }

    pub(super) fn wake(&self, account: AccountId, wake: Wake) {
        if self.common.shutdown.is_cancelled() || !self.common.is_ready.load(Ordering::Acquire) {
            return;
        }
        if self.common.wake(account, wake) {
            self.workers.spawn(attend(Arc::clone(&self.common), account));
        }
    }
}

/// The reason to look that follows from how the account's lines stand.
fn standing(common: &Common, account: AccountId, is_after_gap: bool) -> Wake {
    let state = |id| common.lines.line(id).map(|line| line.state);
    let endpoints = common.directory.load().endpoints_of(account).into_iter().map(|endpoint| endpoint.id).collect();
    let endpoints: Vec<EndpointId> = endpoints;
    let is_deliverable = endpoints.iter().any(|id| state(*id).is_some_and(LineState::is_deliverable));
    let calls: Vec<EndpointId> = endpoints.into_iter().filter(|id| state(*id) == Some(LineState::Returning)).collect();
    let make_due = !calls.is_empty() || (is_after_gap && is_deliverable);
    Wake { is_return: is_after_gap && is_deliverable, calls, make_due, reset: true, ..Wake::look() }
}

/// Works for one account until nothing is to be done. A fault of ours ends a worker, not the account's delivery:
/// another one begins after a wait.
async fn attend(common: Arc<Common>, account: AccountId) {
    let mut faults: u32 = 0;
    while let Err(fault) = tokio::spawn(Worker::new(Arc::clone(&common), account, faults > 0).run()).await {
        tracing::error!(account = %account, reason = %fault, "delivery of an account failed by a fault of this service");
        common.edit_view(account, |view| view.is_delivering = false);
        faults = faults.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(common.settings.retry.after(faults)) => {}
            () = common.shutdown.cancelled() => return,
        }
        // What the worker had heard is lost with it.
        let _ = common.wake(account, standing(&common, account, true));
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

    fn hold(&self, account: AccountId, hold: Option<Hold>) {
        self.common.set_hold(account, hold);
        self.wake(account, Wake::retry());
    }

    fn view(&self, account: AccountId) -> FlushView {
        self.common.view(account)
    }

    fn vouched_key(&self, endpoint: EndpointId) -> Option<[u8; 32]> {
        self.common.vouched_key(endpoint)
    }

    fn subscribe(&self) -> broadcast::Receiver<AccountId> {
        self.common.changes.subscribe()
    }
}

impl MailPaths for Deliveries {
    fn cut(&self, account: AccountId, until: Moment) {
        self.common.cuts.lock().unwrap_or_else(PoisonError::into_inner).insert(account, until);
    }

    fn mend(&self, account: AccountId) {
        let was_cut = self.common.cuts.lock().unwrap_or_else(PoisonError::into_inner).remove(&account).is_some();
        if was_cut {
            // It is tried anew: a failure that is shown from now on is one of the next connection.
            self.common.edit_view(account, |view| view.last_problem = None);
            self.wake(account, Wake::retry());
        }
    }
}
