//! Checks stored messages one after the other, in the background: a bounded queue, a few at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::finding::{DmarcFinding, Finding, IprevFinding, SpfFinding, Verdict, tidy_name};
use super::lanes::{QUICK_FOR, SlowLane};
use super::question::driver::{Resolver, ResolverError};
use super::settings::{CHECKS_AT_ONCE, QUEUE_MAX, Settings};
use super::store::{Subject, VerdictStore};
use crate::account::{Directory, DirectoryHandle};
use crate::base::{AccountId, Clock, DomainName, ReversePath};
use crate::spool::SpoolStore;

/// How far back messages without a verdict are looked for, at the start and after the queue was full. What is older
/// would be judged by records that may have changed since.
const LOOK_BACK: Duration = Duration::from_secs(3_600);

/// What the checks have done since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CheckCounts {
    /// Messages with a verdict.
    pub checked: u64,
    /// Messages that found no place in the queue.
    pub postponed: u64,
    /// Checks that broke off or whose verdict was not stored.
    pub failed: u64,
}

/// The rooms that a check needs.
#[derive(Clone)]
pub struct CheckRooms {
    /// Where the content is.
    pub spool: Arc<dyn SpoolStore>,
    /// Where verdicts go.
    pub verdicts: Arc<dyn VerdictStore>,
    /// Who passes on mail to whom.
    pub directory: DirectoryHandle,
}

/// Takes messages to check; never waits.
pub struct Checker {
    settings: Settings,
    /// Machines of the operator's own that pass on mail of others; may change while the server runs.
    forwarders: ArcSwap<Vec<IpNet>>,
    resolver: Resolver,
    queue: mpsc::Sender<Subject>,
    /// Messages may be in the store that are not in the queue.
    is_behind: AtomicBool,
    checked: AtomicU64,
    postponed: AtomicU64,
    failed: AtomicU64,
}

impl Checker {
    /// Starts checking until `shutdown`; none where checks are switched off. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ResolverError`] when nobody can be asked.
    pub fn start(
        settings: Settings,
        hostname: DomainName,
        rooms: CheckRooms,
        shutdown: CancellationToken,
    ) -> Result<Option<Arc<Self>>, ResolverError> {
        if !settings.is_on {
            return Ok(None);
        }
        let resolver = Resolver::new(&settings, hostname)?;
        let (queue, subjects) = mpsc::channel(QUEUE_MAX);
        let checker = Arc::new(Self {
            forwarders: ArcSwap::from_pointee(settings.forwarders.clone()),
            settings,
            resolver: resolver.clone(),
            queue,
            is_behind: AtomicBool::new(true),
            checked: AtomicU64::new(0),
            postponed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        tokio::spawn(run(Arc::clone(&checker), resolver, rooms, subjects, shutdown));
        Ok(Some(checker))
    }

    /// These machines pass on mail of others from now on, in place of [`Settings::forwarders`].
    pub fn set_forwarders(&self, networks: Vec<IpNet>) {
        self.forwarders.store(Arc::new(networks));
    }

    /// Whether a message of this peer is to be checked.
    #[must_use]
    pub fn wants(&self, peer: std::net::IpAddr) -> bool {
        !self.settings.is_exempt(peer.to_canonical())
    }

    /// A message is ours. Returns at once.
    pub fn note(&self, subject: Subject) {
        if self.wants(subject.peer) && self.queue.try_send(subject).is_err() {
            self.is_behind.store(true, Ordering::Relaxed);
            self.postponed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there are lists of bad senders to ask.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        !self.settings.lists.is_empty()
    }

    /// The lists that have this peer, as far as they answer within the time for one question.
    pub async fn lists_with(&self, peer: std::net::IpAddr) -> Vec<String> {
        self.resolver.lists_with(peer).await
    }

    /// What was done.
    #[must_use]
    pub fn counts(&self) -> CheckCounts {
        CheckCounts {
            checked: self.checked.load(Ordering::Relaxed),
            postponed: self.postponed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

async fn run(
    checker: Arc<Checker>,
    resolver: Resolver,
    rooms: CheckRooms,
    mut subjects: mpsc::Receiver<Subject>,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CHECKS_AT_ONCE));
    let slow = Arc::<SlowLane>::default();
    loop {
        let mut found = Vec::new();
        if subjects.is_empty() && checker.is_behind.swap(false, Ordering::Relaxed) {
            found = left_over(&checker, &rooms).await;
        } else {
            tokio::select! {
                () = shutdown.cancelled() => return,
                subject = subjects.recv() => match subject {
                    Some(subject) => found.push(subject),
                    None => return,
                },
            }
        }
        for subject in found {
            let place = tokio::select! {
                () = shutdown.cancelled() => return,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let (checker, resolver, rooms) = (Arc::clone(&checker), resolver.clone(), rooms.clone());
            let lanes = (place, Arc::clone(&slow));
            let check = tokio::spawn(check(Arc::clone(&checker), resolver, rooms, subject, lanes));
            // What somebody sends must not end the checks of others: a task that breaks off is counted.
            tokio::spawn(async move {
                let is_well = matches!(check.await, Ok(true));
                let count = if is_well { &checker.checked } else { &checker.failed };
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    }
}

/// Messages that came before the start, or while the queue was full.
async fn left_over(checker: &Checker, rooms: &CheckRooms) -> Vec<Subject> {
    let limit = u32::try_from(QUEUE_MAX).unwrap_or(u32::MAX);
    match rooms.verdicts.unchecked(Clock.wall() - LOOK_BACK, limit).await {
        Ok(mut found) => {
            found.retain(|subject| checker.wants(subject.peer));
            found
        }
        Err(error) => {
            tracing::warn!(%error, "messages without a verdict cannot be read");
            Vec::new()
        }
    }
}

/// Whether the peer passes on mail of others: the operator says so, or everybody does whom the message is for.
fn is_forwarded(forwarders: &[IpNet], directory: &Directory, subject: &Subject) -> bool {
    let names_it = |account: &AccountId| directory.is_forwarder_of(subject.peer, *account);
    let peer = subject.peer.to_canonical();
    forwarders.iter().any(|net| net.contains(&peer))
        || (!subject.accounts.is_empty() && subject.accounts.iter().all(names_it))
}

/// What is known of a sender whose zones are too slow while others of his are waited for.
fn cut_short(subject: &Subject, is_forwarded: bool) -> Verdict {
    let spf = |domain: &str| match is_forwarded {
        true => SpfFinding::default(),
        false => SpfFinding { finding: Finding::TempError, domain: domain.to_owned() },
    };
    let iprev = if is_forwarded { Finding::None } else { Finding::TempError };
    let domain = match &subject.reverse_path {
        ReversePath::Mailbox(mailbox) => mailbox.domain().map(ToString::to_string).unwrap_or_default(),
        ReversePath::Null => tidy_name(&subject.helo),
    };
    Verdict {
        spf: spf(&domain),
        helo: spf(&tidy_name(&subject.helo)),
        iprev: IprevFinding { finding: iprev, ..IprevFinding::default() },
        arc: Finding::TempError,
        dmarc: DmarcFinding { finding: Finding::TempError, ..DmarcFinding::default() },
        is_forwarded,
        ..Verdict::default()
    }
}

/// False when no verdict is noted.
async fn check(
    checker: Arc<Checker>,
    resolver: Resolver,
    rooms: CheckRooms,
    subject: Subject,
    (place, slow): (OwnedSemaphorePermit, Arc<SlowLane>),
) -> bool {
    let is_forwarded = is_forwarded(&checker.forwarders.load(), &rooms.directory.load(), &subject);
    let mut judged = std::pin::pin!(resolver.judge(&subject, is_forwarded, &*rooms.spool));
    let verdict = match timeout(QUICK_FOR, &mut judged).await {
        Ok(verdict) => verdict,
        Err(_) => match slow.enter(&subject) {
            Some(_place) => {
                drop(place);
                judged.await
            }
            None => {
                // The look back may have found a message that was queued too: what is known of it stays.
                if matches!(rooms.verdicts.verdict(subject.id).await, Ok(Some(_))) {
                    return true;
                }
                tracing::info!(spool_id = %subject.id, "the sender's zones are slow; the check is cut short");
                cut_short(&subject, is_forwarded)
            }
        },
    };
    tracing::info!(spool_id = %subject.id, verdict = %verdict.to_line(), "sender checked");
    match rooms.verdicts.save_verdict(subject.id, verdict, Clock.wall()).await {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(spool_id = %subject.id, %error, "verdict not stored");
            false
        }
    }
}
