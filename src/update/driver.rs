//! Answers the devices, stores what they change, calls the mail servers of accounts without beats, tells liveness.

mod answers;
mod reports;
mod servers;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::ledger::{AccountUpdates, Ledger};
use super::limit::{Buckets, NETWORK, REFUSAL, VALUE, network};
use super::model::{DeviceRequest, HostName, Role, Source, TokenKind, TokenRecord};
use super::names::NamesChanged;
use super::probe::driver::Caller;
use super::probe::{PROBES_AT_ONCE_MAX, ProbePlan, Rhythm};
use super::store::{UpdateError, UpdateStore};
use crate::account::DirectoryHandle;
use crate::base::{AccountId, Clock, DomainName, EndpointId};
use crate::delivery::driver::{BeatSource, Deliveries};
use crate::heartbeat::server::BeatListener;
use crate::liveness::{LineState, Lines};

/// How often it is looked who is to be called.
const TICK: Duration = Duration::from_millis(100);
/// Last requests that wait to be stored; beyond these the newest are shown but not kept over a restart.
const NOTES_WAITING_MAX: usize = 1_024;
/// Changes of names that a slow reader may be behind.
const CHANGES_HELD: usize = 1_024;
/// Settings of the room.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who calls mail servers.
    pub caller: Caller,
    /// The pace of these calls.
    pub rhythm: Rhythm,
}

/// One request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Over TLS.
    pub is_encrypted: bool,
    /// `User-Agent`.
    pub agent: &'a str,
    /// What stands behind the `?`.
    pub query: &'a str,
}

/// The room at work.
pub struct Updates {
    settings: Settings,
    store: Arc<dyn UpdateStore>,
    directory: DirectoryHandle,
    lines: Arc<dyn Lines>,
    beats: Arc<dyn BeatListener>,
    inner: Mutex<Inner>,
    notes: mpsc::Sender<Note>,
    changes: broadcast::Sender<NamesChanged>,
    places: Arc<Semaphore>,
    /// Calls servers that have a key to prove themselves by.
    deliveries: OnceLock<Arc<Deliveries>>,
    /// Open pages, which show each request as it comes.
    pages: OnceLock<broadcast::Sender<AccountId>>,
    clock: Clock,
}

/// A request on its way to the page.
enum Note {
    /// Shown already; to be stored.
    Known(DeviceRequest),
    /// Refused: whose it is, if anybody's, is looked up behind the answer, so that its time tells nothing.
    Refused { user: String, request: DeviceRequest },
}

struct Inner {
    ledger: Ledger,
    plan: ProbePlan,
    networks: Buckets<u128>,
    values: Buckets<(DomainName, bool)>,
    refusals: Buckets<AccountId>,
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updates").finish_non_exhaustive()
    }
}

impl BeatSource for Updates {
    fn has_beats(&self, endpoint: EndpointId) -> bool {
        !self.inner().plan.has(endpoint)
    }
}

impl Updates {
    /// Reads what is stored and calls mail servers until `shutdown`. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`UpdateError`] if the store cannot be read.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn UpdateStore>,
        directory: DirectoryHandle,
        lines: Arc<dyn Lines>,
        beats: Arc<dyn BeatListener>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, UpdateError> {
        let ledger = Ledger::new(store.load_updates().await?);
        let (notes, waiting) = mpsc::channel(NOTES_WAITING_MAX);
        let plan = ProbePlan::new(settings.rhythm);
        let inner = Inner {
            ledger,
            plan,
            networks: Buckets::new(NETWORK),
            values: Buckets::new(VALUE),
            refusals: Buckets::new(REFUSAL),
        };
        let updates = Arc::new(Self {
            settings,
            store: Arc::clone(&store),
            directory,
            lines,
            beats,
            inner: Mutex::new(inner),
            notes,
            changes: broadcast::Sender::new(CHANGES_HELD),
            places: Arc::new(Semaphore::new(PROBES_AT_ONCE_MAX)),
            deliveries: OnceLock::new(),
            pages: OnceLock::new(),
            clock: Clock,
        });
        updates.plan_all();
        tokio::spawn(keep_notes(Arc::downgrade(&updates), store, waiting));
        tokio::spawn(Arc::clone(&updates).call_servers(shutdown));
        Ok(updates)
    }

    /// Who asks servers to prove themselves; without it a greeting is enough.
    pub fn prove_by(&self, deliveries: Arc<Deliveries>) {
        // Set once, at the start.
        let _ = self.deliveries.set(deliveries);
    }

    /// Whom to tell that an account's page shows another request of a device now.
    pub fn tell_pages(&self, pages: broadcast::Sender<AccountId>) {
        // Set once, at the start.
        let _ = self.pages.set(pages);
    }

    /// Keeps the last request of a device in memory and shows it. `true` if it has to be stored.
    fn show(&self, request: DeviceRequest) -> bool {
        let account = request.account;
        let is_new = self.inner().ledger.note(request);
        // Without an open page nobody listens.
        let _ = self.pages.get().map(|pages| pages.send(account));
        is_new
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads tokens and names again after a change by command.
    ///
    /// # Errors
    /// [`UpdateError`] if the store cannot be read; what was known stays.
    pub async fn reload(&self) -> Result<(), UpdateError> {
        let newer = Ledger::new(self.store.load_updates().await?);
        self.inner().ledger.refresh(newer, &self.directory.load());
        self.tell_change(NamesChanged::Everything);
        self.plan_all();
        Ok(())
    }

    fn tell_change(&self, change: NamesChanged) {
        // Nobody listening is no failure.
        let _ = self.changes.send(change);
    }

    /// What the page of an account shows.
    #[must_use]
    pub fn account(&self, account: AccountId) -> AccountUpdates {
        let line = self.lines.account_line(account);
        let has_beats = line.is_some_and(|line| line.last_beat.is_some() || line.state != LineState::New);
        self.inner().ledger.account(account, &self.directory.load(), has_beats)
    }

    /// The token of that text if it is valid now and of that kind. A network that asks too often gets none.
    #[must_use]
    pub fn token_of(&self, text: &str, kind: TokenKind, peer: IpAddr) -> Option<TokenRecord> {
        let (now, wall) = (self.clock.monotonic(), self.clock.wall());
        let mut inner = self.inner();
        let is_fair = inner.networks.take(network(peer), now);
        inner.ledger.token(text, wall).filter(|token| is_fair && token.kind == kind).cloned()
    }

    /// Every name of an account.
    #[must_use]
    pub fn hosts(&self, account: AccountId) -> Vec<HostName> {
        self.inner().ledger.hosts_of(account, &self.directory.load())
    }

    /// Interval that liveness counts for accounts without beats.
    #[must_use]
    pub fn probe_interval(&self) -> Duration {
        self.settings.rhythm.interval()
    }

    /// From now on updates and the probe speak for the servers of an account again, until a beat comes.
    ///
    /// # Errors
    /// [`UpdateError`] if it cannot be stored.
    pub async fn forget_beats(&self, account: AccountId) -> Result<(), UpdateError> {
        let endpoints: Vec<EndpointId> =
            self.directory.load().endpoints_of(account).iter().map(|endpoint| endpoint.id).collect();
        for endpoint in endpoints {
            self.store.set_role(endpoint, Role::Updates).await?;
        }
        self.reload().await
    }
}

async fn keep_notes(updates: Weak<Updates>, store: Arc<dyn UpdateStore>, mut waiting: mpsc::Receiver<Note>) {
    while let Some(note) = waiting.recv().await {
        let request = match note {
            Note::Known(request) => request,
            Note::Refused { user, request } => {
                let Some(updates) = updates.upgrade() else { return };
                let Some(request) = updates.refused(&user, request) else { continue };
                request
            }
        };
        if let Err(error) = store.note_request(request).await {
            tracing::warn!(%error, "the last request of a device was not stored");
        }
    }
}

/// What a word for the source is, for those who show it.
impl Source {
    /// As in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beats => "beats",
            Self::Updates => "updates",
            Self::None => "none",
        }
    }
}
