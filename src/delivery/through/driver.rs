//! Carries the transactions of waiting senders: one task for each, which owns the connection and gives it back by itself
//! when the sender is slow or gone.

mod carrier;
mod pool;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::carrier::{Carrier, Request};
use self::pool::Pool;
use super::crossing::{CONNECT_MAX, FAILURE_FOR};
use super::deferral::{Deferrals, SETTLED_AFTER, VERIFIED_FOR};
use crate::account::OnlineMode;
use crate::base::{AccountId, Clock, DomainName, EndpointId, Moment};
use crate::delivery::driver::Deliveries;
use crate::delivery::route::{Leg, check_account, routes};
use crate::delivery::settings::{Settings, Timeouts};
use crate::liveness::LineState;
use crate::smtp::reply;
use crate::smtp::through::{Answer, Handed, Introduction, Passage, Primaries};
use crate::spool::{NewMessage, NewRecipient};

/// What is known of primaries while senders wait for them. A few words for each server.
#[derive(Debug, Default)]
struct Memory {
    /// No waiting sender tries it before.
    failed_until: HashMap<EndpointId, Moment>,
    /// When it last greeted and proved itself.
    verified: HashMap<EndpointId, Moment>,
    /// Where it took a sender: what it refuses there is not refused to us.
    well_at: HashMap<EndpointId, SocketAddr>,
    /// Connections in use.
    open: HashMap<AccountId, usize>,
    deferrals: Deferrals,
}

/// What all passages share.
pub struct Through {
    /// With the waits of a sender who waits.
    settings: Settings,
    pool: Pool,
    memory: Mutex<Memory>,
}

impl Through {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let limits = settings.timeouts;
        let timeouts = Timeouts { connect: limits.connect.min(CONNECT_MAX), ..limits };
        let settings = Settings { timeouts, ..settings.clone() };
        Self { settings, pool: Pool::default(), memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sender waited in vain.
    fn handle_failure(&self, endpoint: EndpointId) {
        self.memory().failed_until.insert(endpoint, Clock.monotonic() + FAILURE_FOR);
    }

    fn has_failed(&self, endpoint: EndpointId) -> bool {
        let now = Clock.monotonic();
        self.memory().failed_until.get(&endpoint).is_some_and(|until| now < *until)
    }

    /// It greeted us and is the customer's.
    fn handle_verified(&self, endpoint: EndpointId) {
        let mut memory = self.memory();
        memory.failed_until.remove(&endpoint);
        memory.verified.insert(endpoint, Clock.monotonic());
    }

    fn is_verified(&self, endpoint: EndpointId) -> bool {
        let now = Clock.monotonic();
        self.memory().verified.get(&endpoint).is_some_and(|at| now.since(*at) <= VERIFIED_FOR)
    }

    fn is_well_at(&self, leg: &Leg) -> bool {
        self.memory().well_at.get(&leg.endpoint) == Some(&leg.target)
    }

    fn handle_well(&self, leg: &Leg) {
        self.memory().well_at.insert(leg.endpoint, leg.target);
    }

    /// Takes one of the account's places, if one is free.
    fn take_place(self: &Arc<Self>, account: AccountId) -> Option<Place> {
        let mut memory = self.memory();
        let open = memory.open.entry(account).or_default();
        if *open >= self.settings.lanes_max.max(1) {
            return None;
        }
        *open += 1;
        Some(Place { through: Arc::clone(self), account })
    }
}

/// One connection of an account in use.
struct Place {
    through: Arc<Through>,
    account: AccountId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut memory = self.through.memory();
        let Some(open) = memory.open.get_mut(&self.account) else { return };
        *open = open.saturating_sub(1);
        if *open == 0 {
            memory.open.remove(&self.account);
        }
    }
}

/// Delivery as the SMTP door sees it.
#[derive(Clone)]
pub struct Passages(pub Arc<Deliveries>);

impl Passages {
    fn mode(&self, account: AccountId) -> OnlineMode {
        let common = &self.0.common;
        let own = common.directory.load().account(account).and_then(|account| account.online_mode);
        own.unwrap_or_else(|| *common.online_mode.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server that has a domain's mail now, if it is ONLINE and beats vouch for it.
    fn leg(&self, account: AccountId, domain: &DomainName) -> Option<Leg> {
        let common = &self.0.common;
        let directory = common.directory.load();
        check_account(&directory, account).ok()?;
        let line = |endpoint| common.lines.line(endpoint);
        let found = routes(&directory, account, &line, common.settings.target_rules(), Clock.monotonic());
        let has_domain = |leg: &Leg| leg.takes_mail && (leg.domains.is_empty() || leg.domains.contains(domain));
        let leg = found.legs.into_iter().find(has_domain)?;
        let is_online = common.lines.line(leg.endpoint).is_some_and(|line| line.state == LineState::Online);
        is_online.then_some(leg)
    }

    /// Whether nothing of the account has to go before this mail, and nothing stops it.
    fn is_clear(&self, account: AccountId) -> bool {
        let common = &self.0.common;
        common.spool.usage(account).waiting == 0
            && !common.is_held(account)
            && !common.is_cut(account)
            && !common.is_broken(account)
            && !common.shutdown.is_cancelled()
    }

    /// Whether this sender is sent to the primary, whose port was just seen open.
    fn defers(&self, account: AccountId, endpoint: EndpointId, introduction: &Introduction) -> bool {
        let Some(line) = self.0.common.lines.line(endpoint) else { return false };
        let changed = line.since.map(|since| (Clock.wall() - since).to_std().unwrap_or(Duration::ZERO));
        let is_settled = changed.is_some_and(|age| age >= SETTLED_AFTER);
        is_settled && self.0.through.memory().deferrals.defers(account, introduction.peer, Clock.monotonic())
    }
}

impl Primaries for Passages {
    fn may_ask(&self, account: AccountId, domain: &DomainName) -> bool {
        let directory = self.0.common.directory.load();
        let preferences = directory.preferences(account);
        // Such mail is delivered under another name or to another place than the one it was sent to.
        if preferences.rewrite.is_some() || preferences.detour.is_some() {
            return false;
        }
        match self.mode(account) {
            OnlineMode::Accept => false,
            OnlineMode::CutThrough | OnlineMode::Defer => {
                let leg = if self.is_clear(account) { self.leg(account, domain) } else { None };
                leg.is_some_and(|leg| !self.0.through.has_failed(leg.endpoint))
            }
        }
    }

    fn begin(&self, introduction: Introduction) -> Box<dyn Passage> {
        let (requests, heard) = mpsc::channel(1);
        let carrier = Carrier::new(self.clone(), introduction, heard);
        self.0.workers.spawn(carrier.run());
        Box::new(Handle(requests))
    }
}

/// The sender's end of a passage.
struct Handle(mpsc::Sender<Request>);

#[async_trait]
impl Passage for Handle {
    async fn recipient(&mut self, recipient: NewRecipient) -> Answer {
        let (answer, answered) = oneshot::channel();
        let is_sent = self.0.send(Request::Recipient(Box::new(recipient), answer)).await.is_ok();
        // A carrier that is gone has nothing open: what was taken is stored.
        let answer = if is_sent { answered.await.ok() } else { None };
        answer.unwrap_or(Answer::Taken(reply::RECIPIENT_OK))
    }

    async fn hand_over(&mut self, message: Box<NewMessage>) -> Handed {
        let (answer, answered) = oneshot::channel();
        // Cheap: its octets are shared. A carrier that ends by a fault of ours must not take the message along.
        let is_sent = self.0.send(Request::HandOver(message.clone(), answer)).await.is_ok();
        let handed = if is_sent { answered.await.ok() } else { None };
        handed.unwrap_or(Handed::Store(message, None))
    }

    fn stored(&mut self, is_stored: bool) {
        // Only one who awaits a reply listens for it; there is room for one word.
        let _ = self.0.try_send(Request::Stored(is_stored));
    }
}
