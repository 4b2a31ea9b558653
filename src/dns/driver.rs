//! The name server at work: follows the lines, and answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::amend::{self, driver::WAITING_MAX};
use super::catalog::{Catalog, Told};
use super::desk::Desk;
use super::front::{Front, FrontMachine, NameEvent};
use super::notify;
use super::owner::Owner;
use super::records::RecordError;
use super::secondary::Access;
use super::settings::Settings;
use super::sign::ZoneKeys;
use super::store::{NameError, NameStore, StoredZone};
use super::tcp::driver::Streams;
use super::udp;
use super::zone::{Zone, ZoneRecord};
use crate::account::{Directory, DirectoryHandle, Endpoint, SealKey};
use crate::base::{AccountId, Clock, DomainName, EndpointId, Moment, WallTime};
use crate::liveness::{HistoryRow, LineEvent, LineState, LineView, Lines};
use crate::update::{HostName, Names, NamesChanged, Policy};

/// Longest wait between two looks at the clock, however far the next deadline is.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two tries to keep what names point at.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// An address for the name server could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve names on {address}: {source}; set dns.listen")]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// The kernel's words.
    pub source: std::io::Error,
}

/// Why the name server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread or the system's random numbers.
    #[error("the name server cannot start: {0}")]
    System(#[from] std::io::Error),
    /// The service's own zone.
    #[error("the zone of dynamic names cannot be made: {0}")]
    Zone(#[from] RecordError),
    /// Reading what is stored.
    #[error(transparent)]
    Store(#[from] NameError),
}

/// The sockets to serve.
#[derive(Default)]
pub struct Sockets {
    /// One thread each.
    pub udp: Vec<UdpSocket>,
    /// Plain.
    pub tcp: Vec<TcpListener>,
    /// With TLS (RFC 7858).
    pub tls: Vec<TcpListener>,
}

/// The running name server.
pub struct Dns {
    desk: Arc<Desk>,
    lines: Arc<dyn Lines>,
    directory: DirectoryHandle,
    store: Arc<dyn NameStore>,
    /// What names pointed at at the last end of the service, until it has been taken over.
    kept: Mutex<HashMap<EndpointId, Front>>,
    /// What names point at and is not stored yet.
    unwritten: Mutex<BTreeMap<EndpointId, Front>>,
    has_unwritten: Notify,
    deadlines: Mutex<BinaryHeap<Reverse<(Moment, u32)>>>,
    /// A deadline came in that may be the next.
    is_earlier: Notify,
    /// Who takes reports of addresses.
    names: OnceLock<Arc<dyn Names>>,
    /// Whoever changes a zone holds this from reading it to serving it.
    zone_turn: tokio::sync::Mutex<()>,
    clock: Clock,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

impl Dns {
    /// Serves the sockets until `shutdown`. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is served then.
    pub async fn start(
        settings: Settings,
        sockets: Sockets,
        directory: DirectoryHandle,
        (lines, store, seal): (Arc<dyn Lines>, Arc<dyn NameStore>, SealKey),
        signed: Vec<Arc<ZoneKeys>>,
        tls: Option<TlsAcceptor>,
        shutdown: &CancellationToken,
    ) -> Result<Arc<Self>, StartError> {
        let clock = Clock;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|error| std::io::Error::other(error.to_string()))?;
        let access = Access::load(&*store, &seal).await?;
        let connections_max = settings.connections_max;
        let desk = Arc::new(Desk::new(settings, access, secret, clock.wall())?);
        // Events from here on are not missed: what is read below is at least as new.
        let events = lines.subscribe();
        let kept: HashMap<EndpointId, Front> = store.load_fronts().await?.into_iter().collect();
        let zones = store.load_zones().await?;
        let dns = Arc::new(Self {
            desk: Arc::clone(&desk),
            lines,
            directory,
            store,
            kept: Mutex::new(kept),
            unwritten: Mutex::default(),
            has_unwritten: Notify::new(),
            deadlines: Mutex::default(),
            is_earlier: Notify::new(),
            names: OnceLock::new(),
            zone_turn: tokio::sync::Mutex::default(),
            clock,
        });
        for zone in &zones {
            if let Err(error) = dns.set_zone(zone) {
                tracing::error!(zone = %zone.apex, %error, "a zone is not served");
            }
        }
        for keys in signed {
            dns.write().set_keys(&keys.apex().clone(), Some(keys));
        }
        for (apex, serial) in dns.store.load_serials().await? {
            dns.write().raise_serial(&Owner::of_domain(&apex), serial);
        }
        dns.reload();
        tokio::spawn(Arc::clone(&dns).follow(events, shutdown.clone()));
        tokio::spawn(Arc::clone(&dns).keep_fronts(shutdown.clone()));
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        desk.hand_updates_to(jobs);
        tokio::spawn(amend::driver::serve(Arc::clone(&dns), waiting, shutdown.clone()));
        tokio::spawn(notify::driver::serve(Arc::clone(&desk), shutdown.clone()));
        for socket in sockets.udp {
            udp::driver::serve(socket, Arc::clone(&desk), shutdown.clone())?;
        }
        let streams = Streams::new(desk, connections_max);
        for listener in sockets.tcp {
            tokio::spawn(Arc::clone(&streams).serve(listener, None, shutdown.clone()));
        }
        for listener in sockets.tls {
            tokio::spawn(Arc::clone(&streams).serve(listener, tls.clone(), shutdown.clone()));
        }
        Ok(dns)
    }

    /// Accounts have changed by command: names come and go. Questions wait only while what differs is changed.
    pub fn reload(&self) {
        let directory = self.directory.load();
        let endpoints = directory.endpoints();
        let wanted: HashSet<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let (gone, fresh, orphans) = {
            let catalog = self.desk.catalog();
            let names = catalog.names();
            let gone: Vec<u32> =
                names.rows().filter(|(_, row)| !wanted.contains(&row.endpoint)).map(|(place, _)| place).collect();
            let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
            let kept_of = |endpoint: &Endpoint| kept.get(&endpoint.id).copied().unwrap_or_default();
            let fresh: Vec<(&Endpoint, FrontMachine, Front)> = endpoints
                .iter()
                .filter(|endpoint| names.place_of_server(endpoint.id).is_none())
                .map(|endpoint| (*endpoint, kept_of(endpoint)))
                .map(|(endpoint, kept)| (endpoint, self.resumed(&catalog, endpoint, kept), kept))
                .collect();
            (gone, fresh, catalog.orphans(|account| directory.account(account).is_some()))
        };
        if self.desk.access().has_orphans(|account| directory.account(account).is_some()) {
            self.desk.change_access(|access| access.forget_orphans(|account| directory.account(account).is_some()));
        }
        if gone.is_empty() && fresh.is_empty() && orphans.is_empty() {
            return;
        }
        let mut catalog = self.write();
        for apex in &orphans {
            catalog.remove_zone(apex);
            self.desk.forget_zone(apex);
        }
        for place in gone {
            catalog.remove(place);
        }
        catalog.reserve(fresh.len());
        for (endpoint, machine, kept) in fresh {
            let owner = Owner::of_domain(&endpoint.host);
            let front = machine.front();
            catalog.add_server(owner, (endpoint.id, endpoint.account), true, machine);
            if front != kept {
                self.note_front(endpoint.id, front);
            }
        }
        catalog.settle_serials(self.clock.wall());
    }

    /// What the name of a mail server points at now, for those who show it; absent if it lies in no zone of ours.
    #[must_use]
    pub fn front(&self, endpoint: EndpointId) -> Option<Front> {
        let catalog = self.desk.catalog();
        let row = catalog.names().row(catalog.names().place_of_server(endpoint)?)?;
        (row.zone != super::names::NO_ZONE).then(|| row.front())
    }

    /// Serves a zone of a customer from now on, or this newer one.
    ///
    /// # Errors
    /// [`RecordError`] for a zone without a SOA record or with a record that has no wire form.
    pub fn set_zone(&self, stored: &StoredZone) -> Result<(), RecordError> {
        let zone = Zone::of_customer(stored)?;
        self.write().set_zone(zone);
        Ok(())
    }

    /// Serves a zone no more.
    pub fn remove_zone(&self, apex: &DomainName) {
        let apex = Owner::of_domain(apex);
        self.write().remove_zone(&apex);
        self.desk.forget_zone(&apex);
    }

    /// Waits until nobody else changes a zone: from reading what is stored to serving it.
    pub async fn zone_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.zone_turn.lock().await
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn store(&self) -> &dyn NameStore {
        &*self.store
    }

    pub(super) fn names(&self) -> Option<&Arc<dyn Names>> {
        self.names.get()
    }

    /// Who may follow a zone, or change it, has changed.
    pub fn change_access(&self, change: impl FnOnce(&mut Access)) {
        self.desk.change_access(change);
    }

    /// The serial that a zone shows now, dynamic changes included.
    #[must_use]
    pub fn serial(&self, apex: &DomainName) -> Option<u32> {
        self.desk.catalog().zone(&Owner::of_domain(apex)).map(Zone::serial)
    }

    /// The names in a zone that follow a mail server, as records with their addresses of this moment.
    #[must_use]
    pub fn dynamic_in(&self, apex: &DomainName) -> Vec<(Owner, Vec<ZoneRecord>)> {
        self.desk.catalog().dynamic_in(&Owner::of_domain(apex))
    }

    /// The zone of ours that a name lies in.
    #[must_use]
    pub fn zone_of(&self, name: &DomainName) -> Option<DomainName> {
        self.desk.catalog().zone_above(&Owner::of_domain(name))?.to_domain()
    }

    /// Whether other name servers answer for a zone as well.
    #[must_use]
    pub fn is_followed(&self, apex: &DomainName) -> bool {
        let apex = Owner::of_domain(apex);
        self.desk.access().followed().any(|(followed, all)| *followed == apex && !all.is_empty())
    }

    /// Whose dynamic name it is; nobody's if it is none.
    #[must_use]
    pub fn account_of(&self, owner: &Owner) -> Option<AccountId> {
        self.desk.catalog().names().find(owner.octets()).map(|row| row.account)
    }

    /// Names of the name servers of this service, and whom to write to about a zone.
    #[must_use]
    pub fn servers_and_contact(&self) -> (Vec<DomainName>, DomainName) {
        let catalog = self.desk.catalog();
        let settings = catalog.settings();
        (settings.name_servers.clone(), settings.contact.clone())
    }

    /// The service's own zone.
    #[must_use]
    pub fn own_zone(&self) -> DomainName {
        self.desk.catalog().settings().zone.clone()
    }

    /// Follows what devices set and settle, until `shutdown`. Call within a tokio runtime.
    pub fn follow_updates(self: &Arc<Self>, names: Arc<dyn Names>, shutdown: CancellationToken) {
        let mut changes = names.subscribe();
        // Set once, at the start.
        let _ = self.names.set(Arc::clone(&names));
        self.take_over(&*names);
        let dns = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let change = tokio::select! {
                    () = shutdown.cancelled() => return,
                    change = changes.recv() => change,
                };
                match change {
                    Ok(NamesChanged::Hosts(hosts)) => dns.set_hosts(&hosts),
                    Ok(NamesChanged::Policy(account, policy)) => dns.set_policy(account, policy),
                    Ok(NamesChanged::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        dns.take_over(&*names)
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    fn take_over(&self, names: &dyn Names) {
        let (hosts, policies) = names.all();
        let known: HashSet<Owner> = hosts.iter().map(|host| Owner::of_domain(&host.name)).collect();
        let gone: Vec<u32> = {
            let catalog = self.desk.catalog();
            let further = catalog.names().rows().filter(|(_, row)| row.is_further());
            further.filter(|(_, row)| !known.contains(&row.owner)).map(|(place, _)| place).collect()
        };
        if !gone.is_empty() {
            let mut catalog = self.write();
            gone.into_iter().for_each(|place| catalog.remove(place));
            catalog.settle_serials(self.clock.wall());
        }
        self.set_hosts(&hosts);
        for (account, policy) in policies {
            self.set_policy(account, policy);
        }
    }

    /// Further names; those of mail servers follow their lines.
    fn set_hosts(&self, hosts: &[HostName]) {
        let directory = self.directory.load();
        for host in hosts {
            let Some(endpoint) = directory.endpoint(host.endpoint).filter(|endpoint| endpoint.host != host.name) else {
                continue;
            };
            let line = self.lines.line(endpoint.id);
            let is_up = line.is_some_and(|line| matches!(line.state, LineState::Online | LineState::Suspect));
            let mut catalog = self.write();
            let is_shown = |address: &IpAddr| catalog.is_publishable(*address, endpoint.smtp_port);
            let set = Front {
                v4: host.address_v4.filter(|v4| !host.is_withdrawn && is_shown(&IpAddr::V4(*v4))),
                v6: host.address_v6.filter(|v6| !host.is_withdrawn && is_shown(&IpAddr::V6(*v6))),
            };
            catalog.set_further(Owner::of_domain(&host.name), (endpoint.id, endpoint.account), set, is_up);
            catalog.settle_serials(self.clock.wall());
        }
    }

    fn set_policy(&self, account: AccountId, policy: Policy) {
        let directory = self.directory.load();
        let mut catalog = self.write();
        for endpoint in directory.endpoints_of(account) {
            catalog.set_backup(endpoint.id, policy.backup_mx);
        }
        catalog.settle_serials(self.clock.wall());
    }

    pub(super) fn write(&self) -> std::sync::RwLockWriteGuard<'_, Catalog> {
        self.desk.write()
    }

    /// Keeps what names point at, so that a restart changes nothing.
    async fn keep_fronts(self: Arc<Self>, shutdown: CancellationToken) {
        let mut shown = HashMap::new();
        loop {
            let is_closing = shutdown.is_cancelled();
            self.keep_serials(&mut shown).await;
            let fronts = std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner));
            let mut wait = None;
            if !fronts.is_empty()
                && let Err(error) =
                    self.store.set_fronts(fronts.iter().map(|(id, front)| (*id, *front)).collect()).await
            {
                tracing::error!(%error, names = fronts.len(), "what names point at was not stored; tried again");
                let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                for (endpoint, front) in fronts {
                    unwritten.entry(endpoint).or_insert(front);
                }
                wait = Some(RETRY_EVERY);
            }
            if is_closing {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.has_unwritten.notified(), if wait.is_none() => {}
                () = tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)) => {}
            }
        }
    }

    /// Keeps the serials that followed zones show, where they have changed.
    async fn keep_serials(&self, shown: &mut HashMap<DomainName, u32>) {
        let followed: Vec<(DomainName, u32)> = {
            let (access, catalog) = (self.desk.access(), self.desk.catalog());
            let zones = access.followed().filter_map(|(apex, _)| catalog.zone(apex));
            zones.filter_map(|zone| Some((zone.apex().to_domain()?, zone.serial()))).collect()
        };
        let fresh: Vec<(DomainName, u32)> =
            followed.into_iter().filter(|(apex, serial)| shown.get(apex) != Some(serial)).collect();
        if fresh.is_empty() {
            return;
        }
        match self.store.set_serials(fresh.clone()).await {
            Ok(()) => shown.extend(fresh),
            Err(error) => tracing::error!(%error, "what secondaries were shown was not stored; tried again"),
        }
    }

    fn resumed(&self, catalog: &Catalog, endpoint: &Endpoint, kept: Front) -> FrontMachine {
        let line = self.lines.line(endpoint.id);
        let state = line.as_ref().map_or(LineState::New, |line| line.state);
        let port = endpoint.smtp_port;
        let published = Front {
            v4: kept.v4.filter(|v4| catalog.is_publishable(IpAddr::V4(*v4), port)),
            v6: kept.v6.filter(|v6| catalog.is_publishable(IpAddr::V6(*v6), port)),
        };
        FrontMachine::resume(state, published, self.clock.monotonic(), self.clock.wall())
    }

    async fn follow(self: Arc<Self>, mut events: broadcast::Receiver<LineEvent>, shutdown: CancellationToken) {
        loop {
            let wait = self.until_next();
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => match event {
                    Ok(event) => self.handle(&event),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "the name server reads all lines again");
                        self.look_everywhere();
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = tokio::time::sleep(wait) => self.handle_timeouts(),
                () = self.is_earlier.notified() => {}
            }
        }
    }

    fn until_next(&self) -> Duration {
        let deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        let next = deadlines.peek().map(|Reverse((at, _))| at.since(self.clock.monotonic()));
        // One more millisecond, as the clock counts whole ones.
        next.map_or(LOOK_EVERY, |wait| wait + Duration::from_millis(1)).min(LOOK_EVERY)
    }

    fn handle_timeouts(&self) {
        let now = self.clock.monotonic();
        let mut due = Vec::new();
        {
            let mut deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
            while deadlines.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                due.extend(deadlines.pop().map(|Reverse((_, place))| place));
            }
        }
        if !due.is_empty() {
            self.change(|catalog| due.iter().map(|place| catalog.handle_timeout(*place, now)).collect());
        }
    }

    fn handle(&self, event: &LineEvent) {
        let (endpoint, line) = match event {
            LineEvent::Changed(HistoryRow::NoData(_) | HistoryRow::Interval(_)) | LineEvent::Suspicion { .. } => return,
            LineEvent::Changed(row) => (row.endpoint(), self.lines.line(row.endpoint())),
            LineEvent::Addresses { endpoint, .. }
            | LineEvent::Greeted { endpoint, .. }
            | LineEvent::MailAccepted { endpoint, .. }
            | LineEvent::MailRefused { endpoint, .. } => (*endpoint, None),
        };
        let now = self.clock.monotonic();
        let Some(port) = self.directory.load().endpoint(endpoint).map(|endpoint| endpoint.smtp_port) else { return };
        self.change(|catalog| {
            let mut told = Vec::new();
            for event in self.events(event, line.as_ref(), now) {
                // An address that may not be published is known, but nobody ever greets there.
                let is_hidden =
                    matches!(event, NameEvent::Greeted { address, .. } if !catalog.is_publishable(address, port));
                if !is_hidden {
                    told.push(catalog.handle(endpoint, event, now));
                }
            }
            if let LineEvent::Changed(HistoryRow::State(row)) = event {
                catalog.set_further_up(endpoint, matches!(row.to, LineState::Online | LineState::Returning));
            }
            told
        });
    }

    /// What an event of a line means for its name. The hold comes first: it says whether the rest counts at once.
    fn events(&self, event: &LineEvent, line: Option<&LineView>, now: Moment) -> Vec<NameEvent> {
        match event {
            LineEvent::Changed(HistoryRow::State(row)) => {
                let held = line.and_then(|line| line.name_held_until).map(|until| self.moment_of(until, now));
                vec![NameEvent::Held(held), NameEvent::State { to: row.to, at: row.at }]
            }
            // The row comes when it is on the disk: what beats vouch for now is newer.
            LineEvent::Changed(HistoryRow::Address(row)) => {
                vec![self.vouched(row.endpoint).unwrap_or(NameEvent::Moved(row.to.to_canonical()))]
            }
            LineEvent::Addresses { endpoint, .. } => self.vouched(*endpoint).into_iter().collect(),
            LineEvent::Greeted { endpoint, address, at, .. } => {
                let greeted = NameEvent::Greeted { address: address.to_canonical(), at: *at };
                // Told before the row of the address was on the disk: what the line says now proves it as well.
                self.vouched(*endpoint).into_iter().chain([greeted]).collect()
            }
            LineEvent::MailAccepted { .. } => vec![NameEvent::Mail { is_accepted: true }],
            LineEvent::MailRefused { .. } => vec![NameEvent::Mail { is_accepted: false }],
            LineEvent::Changed(HistoryRow::NoData(_) | HistoryRow::Interval(_)) | LineEvent::Suspicion { .. } => {
                Vec::new()
            }
        }
    }

    /// Where beats vouch for a server now; nothing for a line that is NEW or OFFLINE.
    fn vouched(&self, endpoint: EndpointId) -> Option<NameEvent> {
        let addresses = self.lines.effective_addresses(endpoint);
        let front = Front { v4: addresses.v4.map(|(v4, _)| v4), v6: addresses.v6.map(|(v6, _)| v6) };
        (!front.is_parked()).then_some(NameEvent::Vouched(front))
    }

    fn moment_of(&self, until: WallTime, now: Moment) -> Moment {
        now + (until - self.clock.wall()).to_std().unwrap_or(Duration::ZERO)
    }

    /// Events were lost: every name takes on the state of its line. A greeting that was lost comes with the next mail.
    fn look_everywhere(&self) {
        let directory: Arc<Directory> = self.directory.load();
        let now = self.clock.monotonic();
        let wall = self.clock.wall();
        for endpoint in directory.endpoints() {
            let Some(line) = self.lines.line(endpoint.id) else { continue };
            let held = line.name_held_until.map(|until| self.moment_of(until, now));
            let state = NameEvent::State { to: line.state, at: line.since.unwrap_or(wall) };
            let heard = self.vouched(endpoint.id);
            let mail = NameEvent::Mail { is_accepted: line.mail_ok != Some(false) };
            let events = [Some(NameEvent::Held(held)), heard, Some(mail), Some(state)];
            self.change(|catalog| {
                events.into_iter().flatten().map(|event| catalog.handle(endpoint.id, event, now)).collect()
            });
        }
    }

    fn note_front(&self, endpoint: EndpointId, front: Front) {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint, front);
        self.has_unwritten.notify_one();
    }

    /// Changes the catalog, and notes what has to be stored and looked at again.
    fn change(&self, act: impl FnOnce(&mut Catalog) -> Vec<Told>) {
        let told = {
            let mut catalog = self.write();
            let told = act(&mut catalog);
            catalog.settle_serials(self.clock.wall());
            told
        };
        for (endpoint, front) in told.iter().filter_map(|told| told.changed) {
            self.note_front(endpoint, front);
        }
        let again: Vec<(Moment, u32)> = told.iter().filter_map(|told| told.again_at).collect();
        if !again.is_empty() {
            self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).extend(again.into_iter().map(Reverse));
            self.is_earlier.notify_one();
        }
    }
}
