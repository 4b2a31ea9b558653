//! What the deliveries of all accounts share: settings, neighbours, places for connections, and who is at work.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::account::{Change, DirectoryHandle, Manners, OnlineMode};
use crate::base::{AccountId, Clock, EndpointId, Moment, WallTime};
use crate::delivery::alarm::Alarm;
use crate::delivery::dress::{Voucher, rewritten};
use crate::delivery::driver::{BeatSource, PinKeeper, RecipientWitness};
use crate::delivery::flush::{Breaker, Fare, Verdicts, Wake};
use crate::delivery::identity::{Doubt, KeyDigest, Proof, fingerprint, judge_vouched};
use crate::delivery::outcome::later;
use crate::delivery::route::{Leg, check_connection, check_conversation, check_line};
use crate::delivery::schedule::TRIAL;
use crate::delivery::settings::{AfterRefusal, Settings};
use crate::delivery::tls::{ClientTls, TlsFacts};
use crate::delivery::view::{FlushView, StrangeKey};
use crate::liveness::Lines;
use crate::spool::{Claimed, Hold, HoldKind, SpoolStore};

/// Who made the changes that delivery makes by itself, for the audit log.
const ACTOR: &str = "delivery";

/// What all accounts share.
pub struct Common {
    /// Settings of the room.
    pub settings: Settings,
    /// What accounts do that settled nothing; may change while the server runs.
    pub online_mode: Mutex<OnlineMode>,
    /// Accounts and servers.
    pub directory: DirectoryHandle,
    /// Beats.
    pub lines: Arc<dyn Lines>,
    /// Mail.
    pub spool: Arc<dyn SpoolStore>,
    /// Client side of TLS.
    pub tls: ClientTls,
    /// Places for connections.
    pub places: Arc<Semaphore>,
    /// Accounts that wait for a place.
    pub awaited: AtomicUsize,
    /// Numbers of open connections, for notes before the final dot: used again, so that no note outlives its place.
    pub lanes: Mutex<BTreeSet<u64>>,
    /// Holds from before the start are in force.
    pub is_ready: AtomicBool,
    /// Stores pins; absent until the server has one.
    pub pins: OnceLock<Arc<dyn PinKeeper>>,
    /// Is told what primaries say of mailboxes, if anybody wants to know.
    pub witness: OnceLock<Arc<dyn RecipientWitness>>,
    /// Vouches for senders towards primaries that trust us, if anybody does.
    pub voucher: OnceLock<Arc<dyn Voucher>>,
    /// Tells whether heartbeats come from a server; all are taken to have them until it is known.
    pub beats: OnceLock<Arc<dyn BeatSource>>,
    /// Keys that clients vouched for since the start and that are not pinned.
    pub vouched: Mutex<HashMap<EndpointId, KeyDigest>>,
    /// Accounts whose mail finds no way to their servers, each until then at the latest.
    pub cuts: Mutex<HashMap<AccountId, Moment>>,
    /// What people have to know.
    pub alarms: broadcast::Sender<Alarm>,
    /// Accounts whose view changed.
    pub changes: broadcast::Sender<AccountId>,
    /// No new MAIL once cancelled.
    pub shutdown: CancellationToken,
    /// One for each account that ever had something to do.
    pub slots: Mutex<HashMap<AccountId, Slot>>,
}

/// The account's place on the board.
#[derive(Debug)]
pub struct Slot {
    wake: Option<Wake>,
    /// What the last worker had heard and could not act on, for the next one.
    leftover: Option<Wake>,
    is_running: bool,
    bell: watch::Sender<u64>,
    view: FlushView,
    /// No refusal is final before.
    trial_until: Option<Moment>,
    /// The line was never heard before it returned last: no outage, so nothing was lost in one.
    is_first_return: bool,
    breaker: Breaker,
    /// Servers that were not taken to be the customer's at the last contact.
    strangers: BTreeSet<EndpointId>,
    /// Servers that refuse a message after its dot for one recipient of several.
    one_by_one: BTreeSet<EndpointId>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            wake: None,
            leftover: None,
            is_running: false,
            bell: watch::channel(0).0,
            view: FlushView::default(),
            trial_until: None,
            is_first_return: false,
            breaker: Breaker::default(),
            strangers: BTreeSet::new(),
            one_by_one: BTreeSet::new(),
        }
    }
}

impl Common {
    fn slots(&self) -> MutexGuard<'_, HashMap<AccountId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a reason to look. `true` if nobody is looking: the caller starts a worker.
    pub fn wake(&self, account: AccountId, wake: Wake) -> bool {
        let mut slots = self.slots();
        let slot = slots.entry(account).or_default();
        let leftover = slot.leftover.take();
        if wake.is_return {
            slot.trial_until = Some(Clock.monotonic() + TRIAL);
            slot.is_first_return = wake.is_first;
            slot.breaker.handle_return();
        }
        let whole = slot.wake.get_or_insert_default();
        whole.merge(leftover.unwrap_or_default());
        whole.merge(wake);
        slot.bell.send_modify(|rings| *rings += 1);
        !std::mem::replace(&mut slot.is_running, true)
    }

    /// How delivery to the account stands.
    #[must_use]
    pub fn view(&self, account: AccountId) -> FlushView {
        self.slots().get(&account).map(|slot| slot.view.clone()).unwrap_or_default()
    }

    /// Changes what is shown, and tells those who look.
    pub fn edit_view(&self, account: AccountId, edit: impl FnOnce(&mut FlushView)) {
        let mut slots = self.slots();
        let view = &mut slots.entry(account).or_default().view;
        let before = view.clone();
        edit(view);
        if *view != before {
            drop(slots);
            // Nobody listens: nobody needs to know.
            let _ = self.changes.send(account);
        }
    }

    /// Whether a reason to look was left since the last [`take_wake`](Self::take_wake).
    #[must_use]
    pub fn has_wake(&self, account: AccountId) -> bool {
        self.slots().get(&account).is_some_and(|slot| slot.wake.is_some())
    }

    /// Takes the reasons to look.
    #[must_use]
    pub fn take_wake(&self, account: AccountId) -> Option<Wake> {
        self.slots().get_mut(&account)?.wake.take()
    }

    /// Changes with every reason to look that comes from now on.
    #[must_use]
    pub fn bell(&self, account: AccountId) -> watch::Receiver<u64> {
        self.slots().entry(account).or_default().bell.subscribe()
    }

    /// Ends the worker unless a reason to look came in the meantime; `true` if it has to end. `leftover` comes with the
    /// next reason to look.
    #[must_use]
    pub fn retire(&self, account: AccountId, leftover: Wake) -> bool {
        let mut slots = self.slots();
        let slot = slots.entry(account).or_default();
        if slot.wake.is_none() {
            slot.is_running = false;
            slot.leftover = Some(leftover);
        }
        !slot.is_running
    }

    /// Waits for a place for a connection; `None` at shutdown.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = Awaited::new(&self.awaited);
        tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
            () = self.shutdown.cancelled() => None,
        }
    }

    /// A place for one more connection of an account, if nobody waits for one.
    #[must_use]
    pub fn spare_place(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_place_awaited() { None } else { Arc::clone(&self.places).try_acquire_owned().ok() }
    }

    /// Whether another account waits for a place.
    #[must_use]
    pub fn is_place_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// Until when no refusal is final, if any is held now.
    #[must_use]
    pub fn held_until(&self, account: AccountId) -> Option<WallTime> {
        let slots = self.slots();
        let slot = slots.get(&account)?;
        let now = Clock.monotonic();
        if slot.breaker.is_open() {
            return Some(later(Clock.wall(), TRIAL));
        }
        let is_trial = self.settings.after_refusal == AfterRefusal::Hold;
        let until = slot.trial_until.filter(|until| is_trial && now < *until)?;
        Some(later(Clock.wall(), until.since(now)))
    }

    /// Whether what the primary refuses now may be told to a sender who waits. In the first minutes after an outage it
    /// may know nobody: then only its word on strangers counts, once it took mail for somebody.
    #[must_use]
    pub fn believes_refusal(&self, account: AccountId, is_known_good: bool) -> bool {
        let slots = self.slots();
        let Some(slot) = slots.get(&account) else { return true };
        if slot.breaker.is_open() {
            return false;
        }
        let is_hold = self.settings.after_refusal == AfterRefusal::Hold && !slot.is_first_return;
        let is_trial = is_hold && slot.trial_until.is_some_and(|until| Clock.monotonic() < until);
        !is_trial || (!is_known_good && slot.breaker.has_accepted())
    }

    /// Whether the primary is taken to be broken: one message at a time tries it.
    #[must_use]
    pub fn is_broken(&self, account: AccountId) -> bool {
        self.slots().get(&account).is_some_and(|slot| slot.breaker.is_open())
    }

    /// Tells the breaker how a recipient fared.
    #[must_use]
    pub fn fared(&self, account: AccountId, fare: &Fare<'_>) -> Verdicts {
        self.slots().entry(account).or_default().breaker.handle(fare)
    }

    /// The breaker opened or closed: stored, shown and told.
    pub async fn store_breaker(&self, account: AccountId, reason: Option<String>) {
        let now = Clock.wall();
        let hold = reason.clone().map(|reason| Hold { kind: HoldKind::Breaker, reason, since: now });
        let change = Change { at: now, who: ACTOR.to_owned() };
        // A person's hold is ended by a person alone; the breaker goes on in memory beside it.
        if !self.is_held(account) {
            if let Err(error) = self.spool.set_hold(account, hold.clone(), change).await {
                tracing::error!(%account, reason = %error, "a hold is in force and not stored");
            }
            self.edit_view(account, |view| {
                let is_persons = view.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Operator);
                if !is_persons {
                    view.hold = hold;
                }
            });
        }
        self.tell(match reason {
            Some(reason) => Alarm::Broken { account, reason },
            None => Alarm::Well { account },
        });
    }

    /// The stored hold is another one now, by a person's word or at the start.
    pub fn set_hold(&self, account: AccountId, hold: Option<Hold>) {
        {
            let mut slots = self.slots();
            let breaker = &mut slots.entry(account).or_default().breaker;
            match hold.as_ref().map(|hold| hold.kind) {
                Some(HoldKind::Breaker) => *breaker = Breaker::opened(),
                Some(HoldKind::Operator) => {}
                None => breaker.close(),
            }
        }
        self.edit_view(account, |view| view.hold = hold);
    }

    /// Whether heartbeats vouch for a server, and not only our own calls at an address that a router reported.
    #[must_use]
    pub fn has_beats(&self, endpoint: EndpointId) -> bool {
        self.beats.get().is_none_or(|source| source.has_beats(endpoint))
    }

    /// The key that the client beside a server vouches for.
    #[must_use]
    pub fn vouched_key(&self, endpoint: EndpointId) -> Option<KeyDigest> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).copied()
    }

    /// What speaks for whoever answered in the place of a server.
    ///
    /// # Errors
    /// As [`judge_vouched`].
    pub fn judge(&self, leg: &Leg, tls: Option<&TlsFacts>) -> Result<Proof, Doubt> {
        judge_vouched(leg.pin, self.vouched_key(leg.endpoint), tls, self.has_beats(leg.endpoint))
    }

    /// A number that no open connection has.
    #[must_use]
    pub fn take_lane(&self) -> u64 {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..).find(|number| !lanes.contains(number)).unwrap_or_default();
        lanes.insert(free);
        free
    }

    /// Its connection is over.
    pub fn free_lane(&self, number: u64) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether a person stopped the flush.
    #[must_use]
    pub fn is_held(&self, account: AccountId) -> bool {
        let slots = self.slots();
        let hold = slots.get(&account).and_then(|slot| slot.view.hold.as_ref());
        hold.is_some_and(|hold| hold.kind == HoldKind::Operator)
    }

    /// Whether a drill keeps the account's mail from its servers. Ends by itself.
    #[must_use]
    pub fn is_cut(&self, account: AccountId) -> bool {
        let now = Clock.monotonic();
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).get(&account).is_some_and(|until| now < *until)
    }

    /// Whoever answered is not taken to be the customer's server. Told once until it is known again.
    pub fn handle_stranger(&self, account: AccountId, endpoint: EndpointId, reason: &str, doubt: Option<&Doubt>) {
        let is_new = self.slots().entry(account).or_default().strangers.insert(endpoint);
        self.edit_view(account, |view| {
            view.doubt = Some(reason.to_owned());
            view.strange_key = doubt.and_then(|doubt| doubt.shown).map(|key| StrangeKey { endpoint, key });
        });
        if is_new {
            self.tell(Alarm::Stranger { account, endpoint, reason: reason.to_owned() });
        }
    }

    /// The customer's server answered and took a message, or greeted us with nothing to do.
    pub fn handle_known(&self, account: AccountId, endpoint: EndpointId) {
        let was_strange = self.slots().get_mut(&account).is_some_and(|slot| slot.strangers.remove(&endpoint));
        if was_strange {
            self.edit_view(account, |view| {
                view.doubt = None;
                view.strange_key = None;
            });
            self.tell(Alarm::Known { account, endpoint });
        }
    }

    /// The key that a server proved itself with, or is to prove itself with from now on.
    pub async fn learn_pin(&self, account: AccountId, endpoint: EndpointId, key: KeyDigest, why: &str) {
        let Some(pins) = self.pins.get() else { return };
        let change = Change { at: Clock.wall(), who: ACTOR.to_owned() };
        match pins.set_pin(endpoint, Some(key), change).await {
            Ok(()) => {
                let reason = format!("{why}: {}", fingerprint(&key));
                self.tell(Alarm::PinMoved { account, endpoint, reason });
            }
            Err(error) => {
                tracing::error!(%account, %endpoint, reason = %error, "a key could not be pinned, tried with the next mail");
            }
        }
    }

    /// What a server offers. Written only where it changed.
    pub async fn learn_manners(&self, account: AccountId, endpoint: EndpointId, manners: Manners) {
        let known = self.directory.load().endpoint(endpoint).and_then(|known| known.manners);
        let Some(pins) = self.pins.get().filter(|_| known != Some(manners)) else { return };
        match pins.set_manners(endpoint, manners).await {
            Ok(()) => tracing::info!(%account, %endpoint, ?manners, "what the primary offers is noted"),
            // Heard again with the next connection.
            Err(error) => tracing::warn!(%account, %endpoint, reason = %error, "what the primary offers is not noted"),
        }
    }

    /// Whether a server refuses a message after its dot for one recipient of several.
    #[must_use]
    pub fn is_one_by_one(&self, account: AccountId, endpoint: EndpointId) -> bool {
        self.slots().get(&account).is_some_and(|slot| slot.one_by_one.contains(&endpoint))
    }

    /// It does.
    pub fn set_one_by_one(&self, account: AccountId, endpoint: EndpointId) {
        self.slots().entry(account).or_default().one_by_one.insert(endpoint);
    }

    /// Tells people.
    pub fn tell(&self, alarm: Alarm) {
        // Nobody listens in tests of other things.
        let _ = self.alarms.send(alarm);
    }

    /// The message as this primary is to get it, where that is not just as it was taken.
    pub async fn dress(&self, account: AccountId, message: &Claimed) -> Option<Claimed> {
        let directory = self.directory.load();
        let chosen = directory.preferences(account);
        let dressed = chosen.rewrite.as_ref().and_then(|rewrite| rewritten(message, rewrite));
        let (Some(authserv), Some(voucher)) = (&chosen.trust, self.voucher.get()) else { return dressed };
        let lines = voucher.lines(message, authserv).await;
        if lines.is_empty() {
            return dressed;
        }
        let mut dressed = dressed.unwrap_or_else(|| message.clone());
        dressed.trace = Bytes::from([lines.as_slice(), &dressed.trace].concat());
        Some(dressed)
    }

    /// The check before each MAIL.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_send(&self, leg: &Leg) -> Result<(), String> {
        self.may_go_on()?;
        if self.lines.line(leg.endpoint).is_some_and(|line| self.is_held(line.account)) {
            return Err("a person stopped the flush".to_owned());
        }
        if self.lines.line(leg.endpoint).is_some_and(|line| self.is_cut(line.account)) {
            return Err("a drill keeps the mail here".to_owned());
        }
        let line = self.lines.line(leg.endpoint);
        let rules = self.settings.target_rules();
        check_connection(&self.directory.load(), leg, line.as_ref(), rules, Clock.monotonic())
            .map_err(|closed| closed.to_string())
    }

    /// The check while a server is called, for which a suspended account is no hindrance.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_call(&self, leg: &Leg) -> Result<(), String> {
        self.may_go_on()?;
        let line = self.lines.line(leg.endpoint);
        let rules = self.settings.target_rules();
        check_line(&self.directory.load(), leg, line.as_ref(), rules, Clock.monotonic())
            .map_err(|closed| closed.to_string())
    }

    /// The check while a message is under way. Shutdown waits for it.
    ///
    /// # Errors
    /// Why no answer is to be expected any more, in words.
    pub fn may_await(&self, leg: &Leg) -> Result<(), String> {
        let line = self.lines.line(leg.endpoint);
        check_conversation(&self.directory.load(), leg, line.as_ref()).map_err(|closed| closed.to_string())
    }

    fn may_go_on(&self) -> Result<(), String> {
        if self.shutdown.is_cancelled() { Err("the service is closing down".to_owned()) } else { Ok(()) }
    }
}

/// Counts one who waits, however the waiting ends.
struct Awaited<'a>(&'a AtomicUsize);

impl<'a> Awaited<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
