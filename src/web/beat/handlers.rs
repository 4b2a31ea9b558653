//! The answers to `/hb` and `/join`. The address of the connection is where a client is; no header of a proxy is read.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::limit::{PLAIN_EVERY, RENEW_EVERY, Renewal};
use super::{BeatDoor, bearer};
use crate::base::parse_duration;
use crate::heartbeat::datagram::{DATAGRAM_OCTETS_MAX, Locator, VERSION};
use crate::heartbeat::server::path::{INTERVAL_MAX, INTERVAL_MIN};
use crate::heartbeat::server::{PlainVerdict, Standing};
use crate::web::request::Door;

/// Shortest and longest interval that a plain beat may declare, and the one of a beat that declares none.
const PLAIN_INTERVAL_MIN: Duration = Duration::from_secs(5);
const PLAIN_INTERVAL_MAX: Duration = Duration::from_secs(900);
const PLAIN_INTERVAL: Duration = Duration::from_secs(60);
const OCTETS: &str = "application/octet-stream";

/// What a plain beat may say.
#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct PlainAsk {
    interval: Option<String>,
}

/// A query that cannot be read is refused, not guessed at.
type PlainQuery = Result<Query<PlainAsk>, axum::extract::rejection::QueryRejection>;
pub(super) type Beats = State<(Door, Arc<BeatDoor>)>;

pub(super) fn words(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

pub(super) fn too_soon(after: Duration, text: &str) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, after.as_secs().to_string())], format!("{text}\n")).into_response()
}

fn behind_a_proxy() -> Response {
    words(
        StatusCode::MISDIRECTED_REQUEST,
        "this connection comes from the server's own machine, so it does not say where you are; \
         heartbeats over HTTPS have to reach pulsemx itself, not a proxy in front of it",
    )
}

/// `POST /hb`: a datagram, or without one a plain beat.
pub(in crate::web) async fn post(
    state: Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: PlainQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let is_datagram = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == OCTETS.as_bytes());
    if !is_datagram {
        return plain(&state.0, peer, query, &headers);
    }
    let beats = &state.0.1;
    if peer.ip().to_canonical().is_loopback() && !beats.rooms.allows_loopback {
        return behind_a_proxy();
    }
    match beats.rooms.server.handle_over_http(&body, peer) {
        Some(octets) => ([(CONTENT_TYPE, OCTETS)], octets).into_response(),
        // What is silence over UDP is an empty answer here, whatever the reason.
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// `GET /hb`: a plain beat.
pub(in crate::web) async fn get(
    state: Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: PlainQuery,
    headers: HeaderMap,
) -> Response {
    plain(&state.0, peer, query, &headers)
}

/// `GET /hb/hello`: what a client may know before it says who it is.
pub(in crate::web) async fn hello(State((_, beats)): Beats) -> Json<Value> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Json(json!({
        "versions": [VERSION],
        "udp": beats.rooms.udp,
        "https": [format!("{}/", beats.rooms.https)],
        "datagram_octets_max": DATAGRAM_OCTETS_MAX,
        "interval_ms": millis(beats.rooms.interval),
        "interval_min_ms": millis(INTERVAL_MIN),
        "interval_max_ms": millis(INTERVAL_MAX),
        "plain_interval_s": PLAIN_INTERVAL.as_secs(),
        "plain_interval_min_s": PLAIN_INTERVAL_MIN.as_secs(),
        "plain_interval_max_s": PLAIN_INTERVAL_MAX.as_secs(),
    }))
}

/// The holder of the token in the request, or the one answer for all who are not.
#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
pub(super) fn holder(
    (door, beats): &(Door, Arc<BeatDoor>),
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(Locator, bool), Response> {
    let directory = door.app.rooms.directory.load();
    if let Some(found) = bearer::token(headers).and_then(|token| bearer::verified(&token, &directory)) {
        return Ok(found);
    }
    let now = door.app.clock.monotonic();
    let mut limits = beats.limits.lock().unwrap_or_else(PoisonError::into_inner);
    if !limits.admits_wrong(peer.ip(), now) {
        return Err(too_soon(Duration::from_secs(60), "too many wrong tokens from this network"));
    }
    Err(refused())
}

pub(super) fn refused() -> Response {
    let ask = [(WWW_AUTHENTICATE, "Basic realm=\"pulsemx heartbeat\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, ask, "no valid heartbeat token in the request\n").into_response()
}

fn plain(state: &(Door, Arc<BeatDoor>), peer: SocketAddr, query: PlainQuery, headers: &HeaderMap) -> Response {
    let (locator, _) = match holder(state, peer, headers) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (door, beats) = state;
    let address = peer.ip().to_canonical();
    if address.is_loopback() && !beats.rooms.allows_loopback {
        return behind_a_proxy();
    }
    let asked = query.map(|Query(ask)| ask.interval.unwrap_or_default());
    let interval = match asked.as_deref() {
        Ok("") => Ok(PLAIN_INTERVAL),
        Ok(text) => parse_duration(text).map_err(drop),
        Err(_) => Err(()),
    };
    let Some(interval) = interval.ok().filter(|i| (PLAIN_INTERVAL_MIN..=PLAIN_INTERVAL_MAX).contains(i)) else {
        return words(StatusCode::BAD_REQUEST, "interval is a duration from 5s to 900s, such as interval=60s");
    };
    let Some((_, endpoint)) = beats.rooms.server.endpoint_of(locator) else { return refused() };
    let now = door.app.clock.monotonic();
    if !beats.limits.lock().unwrap_or_else(PoisonError::into_inner).admits_plain(endpoint, now) {
        return too_soon(PLAIN_EVERY, "one plain beat a second is enough");
    }
    let answer = |standing: Standing, is_counted: bool| {
        Json(json!({
            "state": standing.state.as_str(),
            "address": address,
            "waiting": standing.waiting,
            "counted": is_counted,
            "neutralised_after_s": standing.neutralised_after.as_secs(),
        }))
        .into_response()
    };
    match beats.rooms.server.handle_plain(locator, address, interval) {
        None => refused(),
        Some(PlainVerdict::Counted(standing)) => answer(standing, true),
        Some(PlainVerdict::SignedClientHere(standing)) => answer(standing, false),
        Some(PlainVerdict::SignedClientElsewhere) => {
            words(StatusCode::CONFLICT, "not counted: a heartbeat client beats for this account from another address")
        }
    }
}

/// `GET /hb/status`: how the line stands, without counting as a beat.
pub(in crate::web) async fn status(
    State(state): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let (locator, _) = match holder(&state, peer, &headers) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (door, beats) = &state;
    let Some((account, endpoint)) = beats.rooms.server.endpoint_of(locator) else { return refused() };
    let directory = door.app.rooms.directory.load();
    let (Some(account), Some(line)) = (directory.account(account), door.app.rooms.lines.line(endpoint)) else {
        return refused();
    };
    let now = door.app.clock.wall();
    let holiday = directory.preferences(account.id).holiday.filter(|holiday| holiday.left(now).is_some());
    Json(json!({
        "account": account.name.as_str(),
        "state": line.state.as_str(),
        "drill": door.app.rooms.drills.as_ref().is_some_and(|drills| drills.is_running(account.id)),
        "holiday_until": holiday.map(|holiday| holiday.until),
        "since": line.since,
        "address": line.address,
        "last_beat": line.last_beat_at,
        "missed": line.missed,
        "interval_ms": u64::try_from(line.interval.as_millis()).unwrap_or(u64::MAX),
        "loss_percent": line.loss_percent,
        "unanswered_percent": line.unanswered_percent,
        "mail_ok": line.mail_ok,
        "waiting": door.app.rooms.spool.usage(account.id).waiting,
    }))
    .into_response()
}

/// `POST /hb/rotate`: the current token for a new one.
pub(in crate::web) async fn rotate(
    State(state): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let (locator, is_current) = match holder(&state, peer, &headers) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (door, beats) = &state;
    let Some((account, endpoint)) = beats.rooms.server.endpoint_of(locator) else { return refused() };
    let now = door.app.clock.monotonic();
    let renewal = {
        let mut limits = beats.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.admits_renewal(endpoint, (locator, is_current), now)
    };
    match renewal {
        Renewal::Granted => {}
        Renewal::TooSoon => return too_soon(RENEW_EVERY, "this token was renewed a moment ago"),
        Renewal::Replaced => return words(StatusCode::FORBIDDEN, "this token was replaced by another; use that one"),
    }
    tracing::info!(%account, %endpoint, %peer, "heartbeat token renewed by its client");
    match beats.rooms.desk.renew(endpoint, "heartbeat client").await {
        Ok(fresh) => Json(json!({ "token": *fresh.text, "old_valid_until": fresh.old_valid_until })).into_response(),
        Err(error) => failed(&error),
    }
}

/// `POST /join/CODE`: a one-time code for the first token of a client.
pub(in crate::web) async fn join(
    State((door, beats)): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(code): Path<String>,
) -> Response {
    let now = door.app.clock.monotonic();
    let directory = door.app.rooms.directory.load();
    let joined =
        beats.rooms.joins.redeem(&code, door.app.clock.wall()).and_then(|endpoint| directory.endpoint(endpoint));
    let Some((endpoint, account)) = joined.and_then(|e| Some((e.id, directory.account(e.account)?.name.clone())))
    else {
        let is_fair = beats.limits.lock().unwrap_or_else(PoisonError::into_inner).admits_wrong(peer.ip(), now);
        return if is_fair {
            words(
                StatusCode::GONE,
                "this code is unknown, used up or older than an hour; make a new one with `pulsemx account join NAME`",
            )
        } else {
            too_soon(Duration::from_secs(60), "too many wrong codes from this network")
        };
    };
    tracing::info!(%account, %endpoint, %peer, "a heartbeat client joined");
    match beats.rooms.desk.renew(endpoint, "join code").await {
        Ok(fresh) => Json(json!({
            "account": account.as_str(),
            "token": *fresh.text,
            "udp": beats.rooms.udp,
            "https": format!("{}/", beats.rooms.https),
        }))
        .into_response(),
        Err(error) => failed(&error),
    }
}

/// `GET /join/CODE`: somebody opened the address in a browser. Uses nothing up.
pub(in crate::web) async fn join_hint() -> Response {
    words(StatusCode::OK, "give this address to the heartbeat client: pulsemx-beat join ADDRESS --token-file FILE")
}

fn failed(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a heartbeat token could not be made");
    words(StatusCode::SERVICE_UNAVAILABLE, "no token could be made just now; the old one stays valid; try again")
}
