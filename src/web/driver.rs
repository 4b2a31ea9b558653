//! Serves the pages: plain HTTP on loopback, HTTPS everywhere else; one event stream per open page.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::{COOKIE, RETRY_AFTER};
use axum::middleware::map_response;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures_util::stream;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::account_page::AccountKeeper;
use super::beat::{self, BeatDoor, BeatRooms};
use super::crowd::Crowd;
use super::crowd::driver::Counting;
use super::domain_pages::NameRooms;
use super::handlers::{self, Kept};
use super::live::driver::{Hub, Seat};
use super::looks::driver::Looks;
use super::page::Page;
use super::password::driver::Passwords;
use super::public::{BadgeKey, Guests, handlers as public};
use super::readiness::Readiness;
use super::request::{App, Door, Shown, hardened};
use super::session::Scheme;
use super::settings::{FORM_OCTETS_MAX, HEAD_TIMEOUT, STOP_TIMEOUT, Settings};
use super::setup_page::{self, JoinRooms};
use super::words::Locale;
use super::{
    account_export, account_page, alert_page, challenge, domain_pages, drill_pages, log_page, passkey_page,
    sign_in_page, spool_desk, spool_pages, spool_view, token_page, update,
};
use crate::account::{Account, AccountStore, ApiTokens, DirectoryHandle, PasskeyStore, PeopleStore};
use crate::alert::Alerts;
use crate::base::{AccountId, Clock, Moment};
use crate::delivery::view::Flushes;
use crate::dns::ChallengeDesk;
use crate::drill::Drills;
use crate::heartbeat::datagram::DATAGRAM_OCTETS_MAX;
use crate::liveness::{LineState, Lines, TransitionLog};
use crate::recipient::Recipients;
use crate::spool::{SpoolStore, StateFilter};
use crate::survey::Look;
use crate::update::Updates;
use crate::verdict::VerdictStore;

/// News that come within this time are sent as one: a flush of a hundred messages is not a hundred events.
const JOIN_NEWS_WITHIN: Duration = Duration::from_millis(50);
/// An open page hears from us this often even if nothing happens: shows newer beats, finds dead connections.
const TICK: Duration = Duration::from_secs(15);
/// The same while a beat is missed: the second miss is no event of its own.
const SUSPECT_TICK: Duration = Duration::from_secs(1);
/// An open page is asked for its session again after this time.
const SESSION_CHECK: Duration = Duration::from_secs(60);

/// Where the API is.
const API: [&str; 3] = ["/api", "/api/", "/api/{*rest}"];

/// What the pages show and change.
#[derive(Clone)]
pub struct WebRooms {
    /// All accounts.
    pub directory: DirectoryHandle,
    /// People, links, sessions.
    pub accounts: Arc<dyn AccountStore>,
    /// What people keep here, and what is public.
    pub people: Arc<dyn PeopleStore>,
    /// Devices with which people sign in.
    pub passkeys: Arc<dyn PasskeyStore>,
    /// Keeps memory in step when an account leaves; absent where none can.
    pub keeper: Option<Arc<dyn AccountKeeper>>,
    /// State of the lines.
    pub lines: Arc<dyn Lines>,
    /// History of the lines.
    pub log: Arc<dyn TransitionLog>,
    /// Held mail.
    pub spool: Arc<dyn SpoolStore>,
    /// State of delivery.
    pub flushes: Arc<dyn Flushes>,
    /// Accounts for which a message was stored just now.
    pub stored: broadcast::Sender<AccountId>,
    /// Which parts of the service are ready.
    pub readiness: Arc<Readiness>,
    /// Heartbeats over HTTP; without them `/hb` is no page.
    pub beats: Option<BeatRooms>,
    /// Updates from devices; absent where none are taken.
    pub updates: Option<Arc<Updates>>,
    /// Who lives in the domains; absent where nobody uploads lists.
    pub recipients: Option<Arc<Recipients>>,
    /// Fire drills; absent where none can be held.
    pub drills: Option<Arc<Drills>>,
    /// Names and zones; absent where no page shows them.
    pub names: Option<NameRooms>,
    /// Channels of alerts; absent where none are sent.
    pub alerts: Option<Arc<Alerts>>,
    /// Who takes the records of ACME clients; absent where no names are served.
    pub challenges: Option<Arc<ChallengeDesk>>,
    /// Tokens of the API; absent where there is none.
    pub tokens: Option<Arc<ApiTokens>>,
    /// Everything below `/api`; absent where there is no API.
    pub api: Option<Router>,
    /// What the checks of senders came to; absent where nobody checks.
    pub verdicts: Option<Arc<dyn VerdictStore>>,
    /// Who looks at domains as the world sees them; absent where nobody can.
    pub surveys: Option<Arc<dyn Look>>,
    /// Seals badges; without it they carry no seal.
    pub badge_key: Option<BadgeKey>,
    /// Codes for new clients; absent where no client can join.
    pub joins: Option<JoinRooms>,
}

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A public address without a certificate.
    #[error("the pages are served on {0} with TLS only, and there is no certificate; set one or listen on 127.0.0.1")]
    NeedsTls(SocketAddr),
    /// The listener is unusable.
    #[error("a listener of the pages failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// The running server of the pages. Dropping it stops it at once; [`stopped`](Self::stopped) lets requests end.
#[derive(Debug)]
pub struct WebServer {
    addresses: Vec<SocketAddr>,
    crowd: Arc<Crowd>,
    tasks: JoinSet<()>,
}

impl WebServer {
    /// Starts to serve on `listeners` until `shutdown`. Loopback addresses speak HTTP, all others HTTPS with `tls`.
    ///
    /// # Errors
    /// [`WebError`]; nothing is served then.
    pub fn start(
        settings: Settings,
        listeners: Vec<TcpListener>,
        rooms: WebRooms,
        tls: Option<Arc<rustls::ServerConfig>>,
        shutdown: &CancellationToken,
    ) -> Result<Self, WebError> {
        let hub = Hub::new();
        let mut tasks = JoinSet::new();
        let stored = rooms.stored.subscribe();
        tasks.spawn(hub.clone().run(rooms.lines.clone(), rooms.flushes.clone(), stored, shutdown.clone()));
        let app = Arc::new(App {
            settings,
            rooms,
            hub,
            beat_limits: Arc::default(),
            alert_tests: Mutex::default(),
            join_codes: Mutex::default(),
            passwords: Passwords::default(),
            reveals: Mutex::default(),
            webhook_keys: Mutex::default(),
            looks: Looks::default(),
            passkeys: Mutex::default(),
            guests: Mutex::new(Guests::default()),
            clock: Clock,
        });
        let crowd = Crowd::new(app.settings.connections_max);
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let address = listener.local_addr()?;
            listener.set_nonblocking(true)?;
            let is_loopback = address.ip().to_canonical().is_loopback();
            match (&tls, is_loopback) {
                (_, true) => serve_http(&mut tasks, listener, &app, &crowd, shutdown)?,
                (Some(tls), false) => serve_https(&mut tasks, listener, &app, &crowd, tls.clone(), shutdown)?,
                (None, false) => return Err(WebError::NeedsTls(address)),
            }
            tracing::info!(%address, tls = !is_loopback, "pages are served");
            addresses.push(address);
        }
        Ok(Self { addresses, crowd, tasks })
    }

    /// Serves updates from devices, and nothing else, over plain HTTP: for routers that can do no better.
    ///
    /// # Errors
    /// [`WebError::Listener`]; nothing is served on it then.
    pub fn serve_updates(
        &mut self,
        listener: TcpListener,
        updates: &Arc<Updates>,
        shutdown: &CancellationToken,
    ) -> Result<(), WebError> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let routes = update::routes(Arc::clone(updates), false).fallback(update::nothing_else);
        let handle = stop_handle(&mut self.tasks, shutdown);
        let counting = Counting(Arc::clone(&self.crowd));
        let mut server =
            axum_server::from_tcp(listener)?.acceptor(counting).handle(handle).first_request_timeout(HEAD_TIMEOUT);
        limit_idling(server.http_builder());
        self.tasks.spawn(async move {
            if let Err(error) = server.serve(routes.into_make_service_with_connect_info::<SocketAddr>()).await {
                tracing::error!(%error, "a listener for updates ended");
            }
        });
        tracing::info!(%address, tls = false, "updates of devices are taken");
        Ok(())
    }

    /// Where the pages are served, in the order of the listeners.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until everything has ended after the shutdown.
    pub async fn stopped(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Stops the server of one listener when the service stops: no new connections, open requests may end.
fn stop_handle(tasks: &mut JoinSet<()>, shutdown: &CancellationToken) -> Handle<SocketAddr> {
    let handle = Handle::new();
    let (stopping, shutdown) = (handle.clone(), shutdown.clone());
    tasks.spawn(async move {
        shutdown.cancelled().await;
        stopping.graceful_shutdown(Some(STOP_TIMEOUT));
    });
    handle
}

/// A connection that asks nothing more is closed, and one whose other end is gone is noticed; both hold a descriptor
/// that mail may need.
fn limit_idling(builder: &mut Builder<TokioExecutor>) {
    builder.http1().header_read_timeout(HEAD_TIMEOUT);
    builder.http2().keep_alive_interval(HEAD_TIMEOUT).keep_alive_timeout(HEAD_TIMEOUT);
}

fn serve_http(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    app: &Arc<App>,
    crowd: &Arc<Crowd>,
    shutdown: &CancellationToken,
) -> Result<(), WebError> {
    // Behind a proxy with TLS the browser's view counts: its cookies are those of HTTPS.
    let is_behind_tls = app.settings.public_origin.as_deref().is_some_and(|origin| origin.starts_with("https://"));
    let scheme = if is_behind_tls { Scheme::Https } else { Scheme::Http };
    let routes = routes(Door { app: app.clone(), scheme }, shutdown);
    let handle = stop_handle(tasks, shutdown);
    let counting = Counting(Arc::clone(crowd));
    let mut server =
        axum_server::from_tcp(listener)?.acceptor(counting).handle(handle).first_request_timeout(HEAD_TIMEOUT);
    limit_idling(server.http_builder());
    tasks.spawn(async move {
        if let Err(error) = server.serve(routes.into_make_service_with_connect_info::<SocketAddr>()).await {
            tracing::error!(%error, "a listener of the pages ended");
        }
    });
    Ok(())
}

fn serve_https(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    app: &Arc<App>,
    crowd: &Arc<Crowd>,
    tls: Arc<rustls::ServerConfig>,
    shutdown: &CancellationToken,
) -> Result<(), WebError> {
    let routes = routes(Door { app: app.clone(), scheme: Scheme::Https }, shutdown);
    let handle = stop_handle(tasks, shutdown);
    let config = RustlsConfig::from_config(tls);
    let acceptor = RustlsAcceptor::new(config).acceptor(Counting(Arc::clone(crowd)));
    let mut server =
        axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle).first_request_timeout(HEAD_TIMEOUT);
    limit_idling(server.http_builder());
    tasks.spawn(async move {
        if let Err(error) = server.serve(routes.into_make_service_with_connect_info::<SocketAddr>()).await {
            tracing::error!(%error, "a listener of the pages ended");
        }
    });
    Ok(())
}

/// Every address of the site. A route not named here answers 404.
fn routes(door: Door, shutdown: &CancellationToken) -> Router {
    let shutdown = shutdown.clone();
    let stream = move |page: Page| events(page, shutdown.clone());
    let is_encrypted = door.scheme == Scheme::Https;
    let updates = door.app.rooms.updates.clone().map(|updates| update::routes(updates, is_encrypted));
    let challenges = door.app.rooms.challenges.clone();
    let challenges = challenges.map(|desk| challenge::routes(desk, door.app.rooms.updates.clone()));
    let api = door.app.rooms.api.clone();
    let below = |router: Router<Door>, api: Router| {
        API.into_iter().fold(router, |router, path| router.route_service(path, api.clone()))
    };
    api.into_iter()
        .fold(Router::new(), below)
        .merge(updates.unwrap_or_default())
        .merge(challenges.unwrap_or_default())
        .route("/", get(handlers::home))
        .route("/spool", get(handlers::shortcut))
        .route("/events", get(handlers::shortcut))
        .route("/a/{name}", get(handlers::status))
        .route("/a/{name}/events", get(stream))
        .route("/a/{name}/spool", get(spool_pages::list))
        .route("/a/{name}/retry", post(handlers::retry_all))
        .route("/a/{name}/spool/{id}", get(spool_pages::message))
        .route("/a/{name}/spool/{id}/retry", post(handlers::retry_one))
        .route("/a/{name}/spool/do", post(spool_desk::act))
        .route("/a/{name}/spool/{id}/eml", get(spool_desk::download))
        .route("/a/{name}/domains", get(domain_pages::domains))
        .route("/a/{name}/domains/look", post(domain_pages::look))
        .route("/a/{name}/zones/{apex}", get(domain_pages::zone))
        .route("/a/{name}/log", get(log_page::log))
        .route("/a/{name}/drill", get(drill_pages::show).post(drill_pages::start))
        .route("/a/{name}/setup", get(setup_page::setup))
        .route("/a/{name}/setup/code", post(setup_page::code))
        .route("/a/{name}/alerts", get(alert_page::list).post(alert_page::add))
        .route("/a/{name}/alerts/{id}/test", post(alert_page::test))
        .route("/a/{name}/alerts/{id}/remove", post(alert_page::remove))
        .route("/a/{name}/tokens", get(token_page::list).post(token_page::make))
        .route("/a/{name}/tokens/{id}/renew", post(token_page::renew))
        .route("/a/{name}/tokens/{id}/revoke", post(token_page::revoke))
        .route("/a/{name}/demo/{id}", post(handlers::demo))
        .route("/sign-in/{secret}", get(handlers::sign_in_page).post(handlers::sign_in_redeem))
        .route("/sign-out", post(handlers::sign_out))
        .route("/healthz", get(handlers::healthz))
        .route("/ready", get(handlers::ready))
        .route("/assets/{file}", get(handlers::asset))
        .merge(account_routes())
        .route("/s/{id}", get(public::page))
        .route("/badge/{file}", get(public::badge))
        .route("/feed/{file}", get(public::feed))
        .merge(beat_routes(&door))
        .fallback(handlers::nowhere)
        .layer(DefaultBodyLimit::max(FORM_OCTETS_MAX))
        .layer(map_response(hardened))
        .with_state(door)
}

/// The person, and what only the owner of an account may do.
fn account_routes() -> Router<Door> {
    Router::new()
        .route("/sign-in", get(sign_in_page::show).post(sign_in_page::sign_in))
        .route("/account", get(account_page::person))
        .route("/account/choice", post(account_page::choose))
        .route("/account/sessions", post(account_page::end_sessions))
        .route("/account/password", post(account_page::set_password))
        .route("/account/passkeys", post(passkey_page::add))
        .route("/account/passkeys/begin", post(passkey_page::begin))
        .route("/account/passkeys/remove", post(passkey_page::remove))
        .route("/sign-in/passkey", post(passkey_page::sign_in))
        .route("/sign-in/passkey/begin", post(passkey_page::begin_sign_in))
        .route("/a/{name}/account", get(account_page::account))
        .route("/a/{name}/account/export", get(account_export::export))
        .route("/a/{name}/account/leave", post(account_page::leave))
        .route("/a/{name}/account/public", post(account_page::set_public))
}

/// Heartbeats over HTTP, if this server takes them.
fn beat_routes(door: &Door) -> Router<Door> {
    let Some(rooms) = door.app.rooms.beats.clone() else { return Router::new() };
    let limits = Arc::clone(&door.app.beat_limits);
    Router::new()
        .route("/hb", get(beat::handlers::get).post(beat::handlers::post))
        .route("/hb/hello", get(beat::handlers::hello))
        .route("/hb/status", get(beat::handlers::status))
        .route("/hb/drill", get(beat::drill::get).post(beat::drill::post))
        .route("/hb/rotate", post(beat::handlers::rotate))
        .route("/join/{code}", get(beat::handlers::join_hint).post(beat::handlers::join))
        .layer(DefaultBodyLimit::max(DATAGRAM_OCTETS_MAX + 1))
        .route("/hb/recipients", put(beat::recipients::driver::put))
        .with_state((
            door.clone(),
            Arc::new(BeatDoor {
                rooms,
                limits,
                uploads: Arc::new(Semaphore::new(beat::recipients::driver::UPLOADS_MAX)),
            }),
        ))
}

/// One open page.
struct Watcher {
    door: Door,
    account: Account,
    locale: Locale,
    /// The list that the page shows, if it shows one.
    list: Option<StateFilter>,
    /// The page shows looks at domains, and a domain that was typed besides.
    looks: Option<Option<String>>,
    sees_header: bool,
    jar: String,
    seat: Seat,
    kept: Option<Kept>,
    checked_at: Moment,
    shutdown: CancellationToken,
}

async fn events(page: Page, shutdown: CancellationToken) -> Result<Response, Response> {
    // A list of envelopes is looked at here as well.
    if page.visit.ask.filter.is_some() {
        page.seen(Shown::Spool).await?;
    }
    if page.visit.ask.look.is_some() {
        page.seen(Shown::Domains).await?;
    }
    let Page { door, visit, headers, viewer, account, .. } = page;
    let Some(seat) = door.app.hub.seat(account.id) else {
        tracing::warn!(account = %account.name, "too many open pages");
        return Ok((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "60")]).into_response());
    };
    let jar = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let checked_at = door.app.clock.monotonic();
    let list = visit.ask.filter.as_deref().map(|word| spool_view::filter(word).1);
    let sees_header = viewer.sees_header(account.id);
    let looks = visit.ask.look.map(|_| visit.ask.domain);
    let (locale, kept) = (visit.locale, None);
    let watcher = Watcher { door, account, locale, list, looks, sees_header, jar, seat, kept, checked_at, shutdown };
    let news = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok(Sse::new(news).into_response())
}

impl Watcher {
    /// The state at once for the first call, then with the next news or tick; the end on shutdown or sign-out.
    async fn next(&mut self) -> Option<Event> {
        if self.kept.is_some() {
            let is_suspect = self
                .door
                .app
                .rooms
                .lines
                .account_line(self.account.id)
                .is_some_and(|line| line.state == LineState::Suspect);
            let tick = if is_suspect { SUSPECT_TICK } else { TICK };
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                heard = self.seat.bell.changed() => {
                    heard.ok()?;
                    tokio::time::sleep(JOIN_NEWS_WITHIN).await;
                    self.seat.bell.mark_unchanged();
                    self.kept = None;
                }
                () = tokio::time::sleep(tick) => {}
            }
            if !self.is_still_allowed().await {
                return None;
            }
        }
        if self.kept.is_none() {
            match self.door.kept(self.account.id, self.list).await {
                Ok(kept) => self.kept = Some(kept),
                Err(error) => tracing::error!(account = %self.account.name, %error, "news of a page are incomplete"),
            }
        }
        let kept = self.kept.get_or_insert_with(Kept::default);
        let mut news = self.door.news(&self.account, kept, self.sees_header, self.locale);
        if let Some(typed) = &self.looks {
            self.door.app.look_again(self.account.id);
            match self.door.look_news(&self.account, typed.as_deref(), self.locale).await {
                Ok(looks) => news.looks = Some(looks),
                // Better no news than rows that vanish.
                Err(error) => {
                    tracing::error!(account = %self.account.name, %error, "news of a page are incomplete");
                    return Some(Event::default().comment("later"));
                }
            }
        }
        Event::default().event("state").json_data(&news).ok()
    }

    /// Whether session and account still exist; looked at now and then.
    async fn is_still_allowed(&mut self) -> bool {
        let now = self.door.app.clock.monotonic();
        if now.since(self.checked_at) < SESSION_CHECK {
            return true;
        }
        self.checked_at = now;
        let is_there = self.door.app.rooms.directory.load().account(self.account.id).is_some();
        // A store that fails for a moment signs nobody out.
        let viewer = self.door.viewer(&self.jar).await;
        is_there && viewer.map_or(true, |viewer| viewer.is_some_and(|v| v.may_open(self.account.id)))
    }
}
