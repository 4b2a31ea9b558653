//! Starts every room with what it needs from the others, and stops them without losing anything.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::data_dir::{self, DataDirError};
use super::figures;
use super::health::Essentials;
use super::inherited::Inherited;
use super::keeper::{Keeper, open_keys};
use super::names::NameServer;
use super::postroom::{Postroom, WaitingCounts, acquaint, introduce};
use super::reload::Reloader;
use super::room_settings::{
    beat_rooms, checks_settings, delivery_settings, liveness_settings, origin_of, public_addresses, smtp_settings,
    update_settings,
};
use super::sockets::{Sockets, addresses};
use super::voucher::{self, VoucherRooms};
use super::{alerting, api_rooms, certifying, drilling, greeter, maintain, post_office};
use crate::account::{AccountStore, ApiTokens, DirectoryHandle, SealKey};
use crate::base::{AccountId, Clock, SpoolIds};
use crate::certificate::CertificateHandle;
use crate::certificate::driver::CertificateError;
use crate::config::{Config, Written};
use crate::control::desk::Running;
use crate::control::driver::ControlError;
use crate::control::{self, Desk, DirectoryKeeper, Reloads};
use crate::delivery::Flushes;
use crate::delivery::driver::Deliveries;
use crate::delivery::through::Passages;
use crate::drill::Drills;
use crate::heartbeat;
use crate::heartbeat::server::{BeatServer, BindError};
use crate::liveness::driver::Liveness;
use crate::liveness::{self, Lines, TransitionLog, WatchedEndpoint};
use crate::recipient::{RecipientStore, Recipients};
use crate::smtp::StoredListener;
use crate::smtp::refusals::driver::RefusalLedger;
use crate::smtp::{SmtpRooms, SmtpServer};
use crate::spool::SpoolStore;
use crate::store::sqlite::{self, OpenError, SqliteStore};
use crate::update::{UpdateStore, Updates};
use crate::verdict::Checker;
use crate::verdict::driver::CheckRooms;
use crate::web::JoinRooms;
use crate::web::driver::{WebRooms, WebServer};
use crate::web::readiness::Readiness;
use crate::web::settings::DemoControls;
use crate::web::{BeatRooms, NameRooms};
use crate::{alert, delivery, web};

/// Notices of new mail that a slow page may miss before it reads everything again.
const STORED_NOTICES_MAX: usize = 256;
/// Parts that have to be ready before `/ready` says so.
const PARTS: &[&str] = &["store", "heartbeat", "smtp", "delivery", "control"];

/// Why the server did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Reading what is stored.
    #[error("the store cannot be read: {0}")]
    Read(String),
    /// The heartbeat sockets.
    #[error(transparent)]
    Heartbeat(#[from] BindError),
    /// A TCP socket.
    #[error("{0}")]
    Listen(String),
    /// Delivery's TLS.
    #[error(transparent)]
    Delivery(#[from] delivery::driver::StartError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Mail of our own.
    #[error("{0}")]
    Outbound(String),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// What only the demo brings along.
#[derive(Default)]
pub struct Extras {
    /// Buttons for the page.
    pub demo_controls: Option<Arc<dyn DemoControls>>,
    /// What a server that was started from a configuration knows of it, for a reload.
    pub origin: Option<Origin>,
    /// Sockets that are open already.
    pub inherited: Inherited,
}

/// Where a configuration came from.
pub struct Origin {
    /// Its file; none for the environment alone.
    pub path: Option<std::path::PathBuf>,
    /// As it was written.
    pub written: Written,
}

/// A server that accepts on all its listeners.
pub struct RunningServer {
    /// All SMTP listeners.
    pub smtp_all: Vec<SocketAddr>,
    /// All heartbeat sockets.
    pub heartbeat_all: Vec<SocketAddr>,
    /// Where names are served, over UDP and TCP.
    pub names_all: Vec<SocketAddr>,
    /// All web listeners.
    pub web_all: Vec<SocketAddr>,
    /// All listeners for updates over plain HTTP.
    pub update_all: Vec<SocketAddr>,
    /// Carries out commands.
    pub desk: Arc<Desk>,
    /// Live states.
    pub lines: Arc<dyn Lines>,
    stops: Stops,
    smtp_server: SmtpServer,
    deliveries: Arc<Deliveries>,
    web_server: WebServer,
    essentials: Essentials,
    socket_path: std::path::PathBuf,
}

/// What stands before any room starts: the store, secrets, sockets, and what the store knew.
struct Ground {
    store: Arc<SqliteStore>,
    seal: SealKey,
    certificate: CertificateHandle,
    sockets: Sockets,
    control: tokio::net::UnixListener,
    directory: DirectoryHandle,
    watched: Vec<WatchedEndpoint>,
}

impl Ground {
    async fn lay(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        data_dir::prepare(&config.data_dir)?;
        let store = open_store(config).await?;
        let seal = data_dir::seal_key(&config.data_dir)?;
        let certificate = certifying::load(config)?;
        let sockets = Sockets::bind(config, inherited)?;
        let control = control::driver::bind(&config.control_socket())?;
        let read = |e: &dyn std::fmt::Display| StartError::Read(e.to_string());
        let recovered = store.recover().await.map_err(|e| read(&e))?;
        if recovered.claimed > 0 {
            tracing::warn!(recipients = recovered.claimed, "deliveries were interrupted and are tried again");
        }
        for note in recovered.doubtful {
            tracing::warn!(spool_id = %note.message, peer = %note.peer, "no outcome is known: it may arrive twice");
        }
        let directory = DirectoryHandle::new(store.load_directory(Clock.wall()).await.map_err(|e| read(&e))?);
        let watched = store.load().await.map_err(|e| read(&e))?;
        Ok(Self { store, seal, certificate, sockets, control, directory, watched })
    }
}

/// The tokens that stop the rooms: liveness and heartbeats stop last, so that running deliveries keep their address.
#[derive(Clone, Default)]
struct Stops {
    rooms: CancellationToken,
    heartbeats: CancellationToken,
    /// After the last beat was heard: the last rows are written.
    history: CancellationToken,
}

/// Starts everything; returns once all listeners accept.
///
/// # Errors
/// [`StartError`] with what to do; nothing is left running.
pub async fn start(config: Config, extras: Extras) -> Result<RunningServer, StartError> {
    let stops = Stops::default();
    // Dropped on an early return, so that a room that was started already ends again.
    let undo = stops.clone();
    let started = start_rooms(&config, extras, stops).await;
    if started.is_err() {
        undo.rooms.cancel();
        undo.heartbeats.cancel();
        undo.history.cancel();
    }
    started
}

/// What most rooms are handed.
pub(super) struct Shared {
    pub(super) store: Arc<SqliteStore>,
    pub(super) spool: Arc<dyn SpoolStore>,
    pub(super) lines: Arc<dyn Lines>,
    pub(super) flushes: Arc<dyn Flushes>,
    pub(super) directory: DirectoryHandle,
    pub(super) pages: broadcast::Sender<AccountId>,
    readiness: Arc<Readiness>,
    updates: Arc<Updates>,
    dns: NameServer,
    recipients: Arc<Recipients>,
    alerts: Arc<alert::Alerts>,
    tokens: Arc<ApiTokens>,
}

impl Shared {
    fn smtp_rooms(
        &self,
        stored: Arc<dyn StoredListener>,
        certificate: &CertificateHandle,
        checks: Option<Arc<Checker>>,
        primaries: Passages,
    ) -> SmtpRooms {
        SmtpRooms {
            checks,
            primaries: Some(Arc::new(primaries)),
            directory: self.directory.clone(),
            recipients: self.recipients.book(),
            lines: Arc::clone(&self.lines),
            spool: Arc::clone(&self.spool),
            stored,
            certificate: Some(certificate.clone()),
            ids: Arc::new(SpoolIds::default()),
            refusals: Some(RefusalLedger::start(Arc::clone(&self.store) as _)),
        }
    }

    fn web_rooms(&self, beats: BeatRooms, drills: &Arc<Drills>, keeper: &Arc<Keeper>) -> WebRooms {
        let (codes, url, udp) = (Arc::clone(&beats.joins), beats.https.clone(), beats.udp.clone());
        let joins = JoinRooms { codes, url, udp };
        WebRooms {
            directory: self.directory.clone(),
            accounts: Arc::clone(&self.store) as _,
            people: Arc::clone(&self.store) as _,
            keeper: Some(Arc::clone(keeper) as _),
            lines: Arc::clone(&self.lines),
            log: Arc::clone(&self.store) as _,
            spool: Arc::clone(&self.spool),
            flushes: Arc::clone(&self.flushes),
            stored: self.pages.clone(),
            readiness: Arc::clone(&self.readiness),
            beats: Some(beats),
            updates: Some(Arc::clone(&self.updates)),
            recipients: Some(Arc::clone(&self.recipients)),
            drills: Some(Arc::clone(drills)),
            challenges: self.dns.challenges.clone(),
            names: Some(NameRooms { store: Arc::clone(&self.store) as _, dns: self.dns.dns.clone() }),
            alerts: Some(Arc::clone(&self.alerts)),
            tokens: Some(Arc::clone(&self.tokens)),
            api: None,
            badge_key: None,
            joins: Some(joins),
        }
    }

    fn desk(
        &self,
        config: &Config,
        keeper: Arc<dyn DirectoryKeeper>,
        seal: SealKey,
        (beats, drills): (&BeatRooms, &Arc<Drills>),
        smtp: &SmtpServer,
        reloads: Option<Arc<dyn Reloads>>,
    ) -> Arc<Desk> {
        Arc::new(Desk {
            accounts: Arc::clone(&self.store) as _,
            spool: Arc::clone(&self.spool),
            post: Arc::clone(&self.store) as _,
            verdicts: Arc::clone(&self.store) as _,
            refusals: Arc::clone(&self.store) as _,
            log: Arc::clone(&self.store) as _,
            updates: Arc::clone(&self.store) as _,
            api_tokens: Arc::clone(&self.store) as _,
            names: Arc::clone(&self.store) as _,
            zone_turn: tokio::sync::Mutex::default(),
            recipients: Arc::clone(&self.store) as Arc<dyn RecipientStore>,
            alerts: Arc::clone(&self.store) as _,
            directory: self.directory.clone(),
            hostname: config.hostname.clone(),
            public_addresses: public_addresses(config),
            running: Some(Running {
                people: Arc::clone(&self.store) as _,
                lines: Arc::clone(&self.lines),
                dns: self.dns.dns.clone(),
                challenges: self.dns.challenges.clone(),
                keys: self.dns.keys.clone(),
                issuer: self.dns.issuer.clone(),
                flushes: Arc::clone(&self.flushes),
                updates: Arc::clone(&self.updates),
                recipients: Arc::clone(&self.recipients),
                alerts: Arc::clone(&self.alerts),
                tokens: Arc::clone(&self.tokens),
                drills: Arc::clone(drills),
                liveness: liveness_settings(config),
                keeper,
                reloads,
                smtp: smtp.counters(),
                seal,
                joins: Arc::clone(&beats.joins),
                public_url: beats.https.clone(),
                started_at: Clock.wall(),
            }),
        })
    }
}

async fn start_rooms(config: &Config, mut extras: Extras, stops: Stops) -> Result<RunningServer, StartError> {
    let (inherited, origin) = (std::mem::take(&mut extras.inherited), extras.origin.take());
    let Ground { store, seal, certificate, sockets, control, directory, watched } =
        Ground::lay(config, inherited).await?;
    let readiness = Arc::new(Readiness::new(PARTS));
    readiness.ready("store");
    let smtp_all = sockets.smtp_addresses();
    let (liveness, told) = start_liveness(config, &store, watched, &stops);
    let (spool, lines) = (Arc::clone(&store) as Arc<dyn SpoolStore>, Arc::clone(&liveness) as Arc<dyn Lines>);
    let known = (directory.clone(), Arc::clone(&lines), Arc::clone(&store), seal.clone());
    let (dns, names_all) = sockets.names.start(config, smtp_all.clone(), known, &certificate, &stops.rooms).await?;
    let (mail, rooms) = (delivery_settings(config, smtp_all.clone()), stops.rooms.clone());
    let deliveries = Deliveries::start(mail, directory.clone(), Arc::clone(&lines), Arc::clone(&spool), rooms)?;
    let alarms = alert::driver::Alarms { lines: liveness.alarms(), deliveries: deliveries.alarms() };
    readiness.ready("delivery");
    let beat_settings = heartbeat::server::Settings { interval: config.heartbeat_interval };
    let keys = open_keys(&directory.load(), &seal);
    let beats =
        BeatServer::start(beat_settings, sockets.heartbeat, keys, Arc::clone(&liveness) as _, &stops.heartbeats)?;
    readiness.ready("heartbeat");
    let (flushes, pages) = (Arc::clone(&deliveries) as Arc<dyn Flushes>, broadcast::channel(STORED_NOTICES_MAX).0);
    let counts = WaitingCounts::start(&spool, &liveness, &flushes, &directory, &stops.rooms);
    let postroom =
        Arc::new(Postroom { spool: Arc::clone(&spool), flushes: Arc::clone(&flushes), pages: pages.clone(), counts });
    let updates = start_updates(config, &store, &directory, &liveness, smtp_all.clone(), &stops).await?;
    acquaint(&deliveries, &updates, &pages);
    dns.dns.iter().for_each(|dns| dns.follow_updates(Arc::clone(&updates) as _, stops.rooms.clone()));
    let alerts = alerting::start(config, &store, (&seal, &directory), smtp_all.clone(), stops.rooms.clone()).await?;
    let (recipients, tokens) = (start_recipients(config, &store, &stops).await?, api_rooms::load_tokens(&store).await?);
    let shared =
        Shared { store, spool, lines, flushes, directory, pages, readiness, updates, dns, recipients, alerts, tokens };
    let drills = drilling::start(config, &shared, (&deliveries, &smtp_all), &stops.rooms).await?;
    let checks = start_checks(config, &shared, &stops);
    let public_url = config.public_url(sockets.web.first().and_then(|listener| listener.local_addr().ok()));
    open_post_office(config, &shared, (smtp_all.clone(), &deliveries), &public_url, &stops)?;
    let smtp_rooms = shared.smtp_rooms(postroom, &certificate, checks, Passages(Arc::clone(&deliveries)));
    let smtp_server = SmtpServer::start(smtp_settings(config), sockets.smtp, smtp_rooms, stops.rooms.clone());
    shared.readiness.ready("smtp");
    let keeper = start_keeper(config, &shared, &seal, Arc::clone(&liveness), &beats, shared.dns.dns.clone());
    introduce(&deliveries, &keeper, &shared.recipients);
    start_voucher(&shared, &deliveries, &beats, &stops);
    start_greeter(config, &shared, &deliveries, smtp_all.clone(), &stops);
    let beat_rooms = beat_rooms(config, &beats, Arc::clone(&keeper) as _, public_url);
    let reloads = origin.map(|origin| Reloader::new(origin, config, certificate.clone(), smtp_server.controls()) as _);
    let desk = shared.desk(config, Arc::clone(&keeper) as _, seal, (&beat_rooms, &drills), &smtp_server, reloads);
    let pages = api_rooms::beside(shared.web_rooms(beat_rooms.clone(), &drills, &keeper), &desk, &stops.rooms)?;
    let mut web_server = start_web(config, extras, sockets.web, &certificate, pages, &stops.rooms)?;
    let update_all = serve_updates(&mut web_server, sockets.update, &shared.updates, &stops.rooms)?;
    keep_house(config, &shared, keeper, start_alerts(config, &shared, alarms, told, &stops), &stops);
    let Shared { store, lines, readiness, .. } = shared;
    tokio::spawn(control::driver::serve(control, Arc::clone(&desk), stops.rooms.clone()));
    let essentials = Essentials::watched(&store, (&beats, &liveness), &readiness, &stops.rooms);
    readiness.ready("control");
    figures::serve(sockets.metrics, (&desk, &essentials, &lines, &readiness), &stops.rooms)?;
    Ok(RunningServer {
        smtp_all,
        heartbeat_all: beats.addresses(),
        names_all,
        web_all: web_server.addresses().to_vec(),
        update_all,
        desk,
        lines,
        stops,
        smtp_server,
        deliveries,
        web_server,
        essentials,
        socket_path: config.control_socket(),
    })
}

/// Tells people what happens to lines and deliveries, and hands out what tells them of the rest.
fn start_alerts(
    config: &Config,
    shared: &Shared,
    alarms: alert::driver::Alarms,
    told: (alert::Policy, Arc<dyn TransitionLog>),
    stops: &Stops,
) -> alerting::Raiser {
    let (outbox, directory) = (shared.alerts.outbox(), shared.directory.clone());
    let watched = (alarms, outbox.clone());
    tokio::spawn(alert::driver::run(Arc::clone(&shared.lines), watched, directory.clone(), told, stops.rooms.clone()));
    if let Some(issuer) = shared.dns.issuer.clone() {
        tokio::spawn(certifying::tell(issuer, outbox.clone(), stops.rooms.clone()));
    }
    alerting::Raiser::new(outbox, directory, config.spool_per_account)
}

fn keep_house(config: &Config, shared: &Shared, keeper: Arc<Keeper>, raiser: alerting::Raiser, stops: &Stops) {
    let keeping = maintain::Keeping::of(config);
    let rooms = (Arc::clone(&shared.updates), Arc::clone(&shared.recipients), raiser);
    let (spool, store) = (Arc::clone(&shared.spool), Arc::clone(&shared.store));
    tokio::spawn(maintain::run(spool, store, keeper, rooms, keeping, stops.rooms.clone()));
}

fn start_voucher(shared: &Shared, deliveries: &Arc<Deliveries>, beats: &Arc<BeatServer>, stops: &Stops) {
    let rooms = VoucherRooms {
        accounts: Arc::clone(&shared.store) as _,
        directory: shared.directory.clone(),
        deliveries: Arc::clone(deliveries),
        spool: Arc::clone(&shared.spool),
    };
    tokio::spawn(voucher::run(rooms, beats.key_reports(), stops.rooms.clone()));
}

fn open_post_office(
    config: &Config,
    shared: &Shared,
    (own_addresses, deliveries): (Vec<SocketAddr>, &Arc<Deliveries>),
    page: &str,
    stops: &Stops,
) -> Result<(), StartError> {
    post_office::vouch(config, &shared.store, deliveries).map_err(StartError::Outbound)?;
    let rooms = (Arc::clone(&shared.store), shared.directory.clone());
    let office = post_office::start(config, own_addresses, rooms, page, &stops.rooms).map_err(StartError::Outbound)?;
    if let Some(office) = office {
        shared.alerts.mail_by(Arc::new(post_office::AlertMail(office)));
    }
    Ok(())
}

fn start_keeper(
    config: &Config,
    shared: &Shared,
    seal: &SealKey,
    liveness: Arc<Liveness>,
    beats: &Arc<BeatServer>,
    dns: Option<Arc<crate::dns::Dns>>,
) -> Arc<Keeper> {
    let accounts = Arc::clone(&shared.store) as Arc<dyn AccountStore>;
    let renew_after = config.heartbeat_renew_tokens_after;
    let directory = shared.directory.clone();
    Arc::new(Keeper::new(accounts, directory, seal.clone(), liveness, Arc::clone(beats), renew_after, dns))
}

fn start_liveness(
    config: &Config,
    store: &Arc<SqliteStore>,
    watched: Vec<WatchedEndpoint>,
    stops: &Stops,
) -> (Arc<Liveness>, (alert::Policy, Arc<dyn TransitionLog>)) {
    let log = Arc::clone(store) as Arc<dyn TransitionLog>;
    let told = (alert::Policy::resume(&watched, Clock.monotonic(), Clock.wall()), Arc::clone(&log));
    let liveness = Liveness::start(liveness_settings(config), log, watched, stops.history.clone());
    let self_check = config.heartbeat_self_check.clone();
    tokio::spawn(liveness::uplink::driver::run(Arc::clone(&liveness), self_check, stops.heartbeats.clone()));
    (liveness, told)
}

/// None when senders are not to be checked, or cannot be: mail is taken all the same.
fn start_checks(config: &Config, shared: &Shared, stops: &Stops) -> Option<Arc<Checker>> {
    let settings = checks_settings(config);
    let (spool, verdicts) = (Arc::clone(&shared.spool), Arc::clone(&shared.store) as _);
    let rooms = CheckRooms { spool, verdicts, directory: shared.directory.clone() };
    Checker::start(settings, config.hostname.clone(), rooms, stops.rooms.clone()).unwrap_or_else(|error| {
        tracing::warn!(%error, "senders are not checked");
        None
    })
}

async fn start_updates(
    config: &Config,
    store: &Arc<SqliteStore>,
    directory: &DirectoryHandle,
    liveness: &Arc<Liveness>,
    own_addresses: Vec<SocketAddr>,
    stops: &Stops,
) -> Result<Arc<Updates>, StartError> {
    let settings = update_settings(config, own_addresses);
    let (store, lines) = (Arc::clone(store) as Arc<dyn UpdateStore>, Arc::clone(liveness) as Arc<dyn Lines>);
    Updates::start(settings, store, directory.clone(), lines, Arc::clone(liveness) as _, stops.rooms.clone())
        .await
        .map_err(|e| StartError::Read(e.to_string()))
}

/// Only names wait for greetings that no mail asks for.
fn start_greeter(
    config: &Config,
    shared: &Shared,
    deliveries: &Arc<Deliveries>,
    own_addresses: Vec<SocketAddr>,
    stops: &Stops,
) {
    let Some(dns) = shared.dns.dns.clone() else { return };
    let (lines, directory, deliveries) = (Arc::clone(&shared.lines), shared.directory.clone(), Arc::clone(deliveries));
    let caller = update_settings(config, own_addresses).caller;
    tokio::spawn(greeter::run(greeter::Rooms { lines, directory, deliveries, dns }, caller, stops.rooms.clone()));
}

async fn start_recipients(
    config: &Config,
    store: &Arc<SqliteStore>,
    stops: &Stops,
) -> Result<Arc<Recipients>, StartError> {
    let started = Recipients::start(Arc::clone(store) as _, config.smtp_without_list, stops.heartbeats.clone());
    started.await.map_err(|e| StartError::Read(e.to_string()))
}

async fn open_store(config: &Config) -> Result<Arc<SqliteStore>, StartError> {
    let settings = sqlite::Settings { path: config.database(), reserve: config.spool_reserve };
    tokio::task::spawn_blocking(move || SqliteStore::open(settings))
        .await
        .map_err(|e| StartError::Read(e.to_string()))?
        .map_err(StartError::from)
}

fn start_web(
    config: &Config,
    extras: Extras,
    listeners: Vec<std::net::TcpListener>,
    certificate: &CertificateHandle,
    rooms: WebRooms,
    shutdown: &CancellationToken,
) -> Result<WebServer, StartError> {
    let settings = web::Settings {
        hostname: config.hostname.to_string(),
        public_origin: config.web_public_url.as_deref().map(origin_of),
        connections_max: usize::try_from(config.web_connections_max).unwrap_or(usize::MAX),
        demo_controls: extras.demo_controls,
        ..web::Settings::default()
    };
    let tls = certifying::for_pages(certificate, rooms.names.as_ref().and_then(|names| names.dns.clone()));
    WebServer::start(settings, listeners, rooms, Some(tls), shutdown).map_err(|e| StartError::Listen(e.to_string()))
}

/// Routers that can do no better reach the same room over plain HTTP.
fn serve_updates(
    server: &mut WebServer,
    listeners: Vec<std::net::TcpListener>,
    updates: &Arc<Updates>,
    shutdown: &CancellationToken,
) -> Result<Vec<SocketAddr>, StartError> {
    let bound = addresses(&listeners, std::net::TcpListener::local_addr);
    for listener in listeners {
        server.serve_updates(listener, updates, shutdown).map_err(|e| StartError::Listen(e.to_string()))?;
    }
    Ok(bound)
}

impl RunningServer {
    /// The first SMTP listener.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        first(&self.smtp_all)
    }

    /// The first heartbeat socket.
    #[must_use]
    pub fn heartbeat(&self) -> SocketAddr {
        first(&self.heartbeat_all)
    }

    /// Stops in the order that loses nothing: no new sessions, running transactions and deliveries end and are
    /// recorded, then heartbeats, then the store.
    pub async fn stop(self) {
        self.stops.rooms.cancel();
        // Side by side: each has its own limit (60, 30 and 5 s), and systemd waits for their longest, not their sum.
        let (_, drained, ()) =
            tokio::join!(self.smtp_server.stopped(), self.deliveries.drain(), self.web_server.stopped());
        if let Some(running) = &self.desk.running {
            running.drills.drain().await;
        }
        if !drained {
            tracing::warn!("a delivery did not end in time; its message is tried again after the next start");
        }
        self.essentials.stop(&self.stops.heartbeats, &self.stops.history).await;
        let store = self.essentials.store;
        if let Err(error) = tokio::task::spawn_blocking(move || store.close()).await {
            tracing::error!(%error, "the store did not close in order; the next start recovers");
        }
        // The socket is useless without a server; a leftover one is replaced at the next start.
        let _ = std::fs::remove_file(&self.socket_path);
    }
}

/// A listener that was bound has an address; without any, nothing can be reached and the unspecified one says so.
fn first(addresses: &[SocketAddr]) -> SocketAddr {
    addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
}
