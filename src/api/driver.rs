//! Serves the API: what each request passes before its handler, and the router that the pages take in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::limit::Limits;
use super::problem::{Fault, language_of};
use super::repeat::{self, ANSWER_OCTETS_MAX, Answer, Answers, Begin};
use super::table::{self, Operation};
use crate::account::Scope;
use crate::base::{AccountId, Clock};
use crate::control::Desk;
use crate::control::desk::Running;
use crate::web::live::driver::Hub;
use crate::web::pace::Pace;

/// For an ordinary body, and for a long one: 16 MiB at 1 Mbit/s.
const BODY_WITHIN: Duration = Duration::from_secs(15);
const LONG_BODY_WITHIN: Duration = Duration::from_secs(150);
/// A body that may be longer is long, octets; so many of them are read at one time.
const LONG_OCTETS: usize = 64 * 1024;
const LONG_BODIES_MAX: usize = 2;
/// Octets of an `Authorization` field that is looked at.
const AUTHORIZATION_OCTETS_MAX: usize = 128;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The description of everything here, for programs.
pub(super) const OPENAPI: &str = include_str!("../../web/openapi.json");

/// What the API needs of the other rooms.
pub struct ApiRooms {
    /// Carries out what is asked.
    pub desk: Arc<Desk>,
    /// Accounts for which a message was stored just now.
    pub stored: broadcast::Receiver<AccountId>,
}

/// What all requests share.
pub(super) struct Api {
    pub(super) desk: Arc<Desk>,
    pub(super) hub: Arc<Hub>,
    pub(super) alert_tests: Mutex<Pace>,
    pub(super) clock: Clock,
    pub(super) shutdown: CancellationToken,
    limits: Mutex<Limits>,
    answers: Mutex<Answers>,
    long_bodies: Semaphore,
}

impl Api {
    /// # Errors
    /// [`Fault::Trouble`] in a service that does not run; there the API is not served.
    pub(super) fn running(&self) -> Result<&Running, Fault> {
        self.desk.running.as_ref().ok_or(Fault::Trouble)
    }
}

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system has no random numbers; the API cannot be served")]
pub struct NoRandomness;

/// What stands before an operation.
#[derive(Clone)]
struct Gate {
    api: Arc<Api>,
    scope: Option<Scope>,
    octets_max: usize,
}

/// Everything below `/api`, until `shutdown`.
///
/// # Errors
/// [`NoRandomness`].
pub fn start(rooms: ApiRooms, shutdown: &CancellationToken) -> Result<Router, NoRandomness> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
    let hub = Hub::new();
    if let Some(running) = &rooms.desk.running {
        let (lines, flushes) = (Arc::clone(&running.lines), Arc::clone(&running.flushes));
        tokio::spawn(Arc::clone(&hub).run(lines, flushes, rooms.stored, shutdown.clone()));
    }
    let api = Arc::new(Api {
        desk: rooms.desk,
        hub,
        alert_tests: Mutex::default(),
        clock: Clock,
        shutdown: shutdown.clone(),
        limits: Mutex::new(Limits::new(key)),
        answers: Mutex::default(),
        long_bodies: Semaphore::new(LONG_BODIES_MAX),
    });
    let guarded = |router: Router<Arc<Api>>, operation: Operation| {
        let gate = Gate { api: Arc::clone(&api), scope: operation.scope, octets_max: operation.octets_max };
        router.route(operation.path, operation.handler.route_layer(middleware::from_fn_with_state(gate, guard)))
    };
    let router = table::table().into_iter().fold(Router::new(), guarded);
    Ok(router
        .route("/api/v1/openapi.json", get(openapi))
        .fallback(|| async { Fault::NotFound })
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(speak))
        .with_state(api))
}

/// `GET /openapi.json`: the same for everybody, so it needs no token.
async fn openapi() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (headers, OPENAPI).into_response()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Turns refusals into `application/problem+json` in the reader's language, those of the router included.
async fn speak(request: Request, next: Next) -> Response {
    let language = language_of(text(request.headers(), ACCEPT_LANGUAGE));
    let mut response = next.run(request).await;
    let allow = response.headers().get(ALLOW).cloned();
    let fault = response.extensions_mut().remove::<Fault>();
    let fault = fault.or_else(|| (response.status() == StatusCode::METHOD_NOT_ALLOWED).then_some(Fault::Method));
    fault.map_or(response, |fault| fault.told(language, allow))
}

/// The text of `Authorization: Bearer TEXT`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = text(headers, AUTHORIZATION).filter(|value| value.len() <= AUTHORIZATION_OCTETS_MAX)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Limits, token, scope; then the body; then whether it was carried out before.
async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let caller = match admit(&gate, &request) {
        Ok(caller) => caller,
        Err(fault) => return fault.into_response(),
    };
    note_use(&gate.api, &caller).await;
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = match read(&gate, body).await {
        Ok(body) => body,
        Err(fault) => return fault.into_response(),
    };
    let key = match parts.headers.get(&IDEMPOTENCY_KEY).filter(|_| parts.method == Method::POST) {
        None => None,
        Some(value) => match repeat::key(value) {
            Some(key) => Some(key.to_owned()),
            None => return Fault::KeyOdd.into_response(),
        },
    };
    let of = fingerprint(&parts.method, &parts.uri.to_string(), &body);
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(caller.clone());
    // A task of its own: what has begun is carried out to its end, whoever still waits for it.
    let api = Arc::clone(&gate.api);
    let carried = tokio::spawn(async move {
        match key {
            None => next.run(request).await,
            Some(key) => once(&api, &caller, (&key, of), request, next).await,
        }
    });
    carried.await.unwrap_or_else(|error| Fault::trouble(&error).into_response())
}

fn admit(gate: &Gate, request: &Request) -> Result<Caller, Fault> {
    let api = &gate.api;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer = peer.ok_or_else(|| Fault::trouble(&"a connection without an address"))?;
    let (now, wall) = (api.clock.monotonic(), api.clock.wall());
    let token = bearer(request.headers());
    let limits = || api.limits.lock().unwrap_or_else(PoisonError::into_inner);
    limits().admit(peer, token, now).map_err(|wait| Fault::TooMany(whole_seconds(wait)))?;
    let running = api.running()?;
    let holder = token.and_then(|text| running.tokens.holder(text, wall));
    let account = holder.as_ref().and_then(|token| api.desk.directory.load().account(token.account).cloned());
    let Some((token, account)) = holder.zip(account) else {
        // Who sends none does not guess.
        if token.is_some() {
            limits().admit_wrong(peer, now).map_err(|wait| Fault::TooMany(whole_seconds(wait)))?;
        }
        return Err(Fault::NoToken);
    };
    if let Some(scope) = gate.scope.filter(|scope| !token.scopes.has(*scope)) {
        return Err(Fault::Scope(scope));
    }
    let language = language_of(text(request.headers(), ACCEPT_LANGUAGE));
    Ok(Caller { account, token, language, now: wall })
}

async fn note_use(api: &Api, caller: &Caller) {
    let Ok(running) = api.running() else { return };
    if let Err(error) = running.tokens.used(&caller.token.id, caller.now).await {
        tracing::warn!(token = %caller.token.id, %error, "the last use of a token was not stored");
    }
}

async fn read(gate: &Gate, body: Body) -> Result<Bytes, Fault> {
    let is_long = gate.octets_max > LONG_OCTETS;
    // Before the token was known a stranger could have made us keep what he sends.
    let _place = match is_long {
        true => Some(gate.api.long_bodies.try_acquire().map_err(|_| Fault::Busy)?),
        false => None,
    };
    let within = if is_long { LONG_BODY_WITHIN } else { BODY_WITHIN };
    let read = tokio::time::timeout(within, to_bytes(body, gate.octets_max)).await.map_err(|_| Fault::Slow)?;
    read.map_err(|_| Fault::TooLarge(gate.octets_max))
}

fn fingerprint(method: &Method, address: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for part in [method.as_str().as_bytes(), address.as_bytes(), body] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    *hash.finalize().as_bytes()
}

/// Carries a request out unless it was before.
async fn once(api: &Api, caller: &Caller, (key, of): (&str, [u8; 32]), request: Request, next: Next) -> Response {
    let answers = || api.answers.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = answers().begin(&caller.token.id, key, of, api.clock.monotonic());
    match begun {
        Begin::Run => {}
        Begin::Again(answer) => return again(answer),
        Begin::Busy => return Fault::KeyBusy.into_response(),
        Begin::Reused => return Fault::KeyReused.into_response(),
        Begin::Full => return Fault::Busy.into_response(),
    }
    let (parts, body) = next.run(request).await.into_parts();
    if !parts.status.is_success() {
        answers().end(&caller.token.id, key, None);
        return Response::from_parts(parts, body);
    }
    // Answers to changes are finished texts, not streams.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        answers().end(&caller.token.id, key, None);
        return Fault::Trouble.into_response();
    };
    let content_type = parts.headers.get(CONTENT_TYPE).cloned();
    let answer = Answer { status: parts.status, content_type, body: body.clone() };
    answers().end(&caller.token.id, key, Some(answer).filter(|_| body.len() <= ANSWER_OCTETS_MAX));
    Response::from_parts(parts, Body::from(body))
}

fn again(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().extend(answer.content_type.map(|value| (CONTENT_TYPE, value)));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
