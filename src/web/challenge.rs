//! The door for ACME clients, in the words of acme-dns: a value at `_acme-challenge` for whoever holds the name's key.
//!
//! `POST /update` puts a value, `POST /register` makes a key for whoever shows an account's `acme` token, `GET /health` says
//! that we are here. A register without a token is closed: it would let anybody fill the zone.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::BASE64;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dns::ChallengeDesk;
use crate::dns::challenge::driver::{Asked, NoKey, Refusal};
use crate::dns::challenge::key::{NETWORKS_MAX, Wanted};
use crate::dns::store::NameError;
use crate::update::{TokenKind, Updates};

/// Octets of a body, at most: 32 networks fit.
const BODY_OCTETS_MAX: usize = 4_096;
/// Octets of a header that is looked at.
const HEADER_OCTETS_MAX: usize = 512;
const USER: HeaderName = HeaderName::from_static("x-api-user");
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// When to come back after too much, s.
const WAIT_S: &str = "60";

/// Who takes values, and who knows the tokens of accounts.
#[derive(Clone)]
struct Way {
    desk: Arc<ChallengeDesk>,
    updates: Option<Arc<Updates>>,
}

/// The paths of acme-dns. Never on a listener that speaks plain HTTP to the world: keys could be read on the way.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    desk: Arc<ChallengeDesk>,
    updates: Option<Arc<Updates>>,
) -> Router<S> {
    Router::new()
        .route("/update", post(update))
        .route("/register", post(register))
        .route("/health", get(|| async { StatusCode::OK }))
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .with_state(Way { desk, updates })
}

#[derive(Deserialize)]
struct Update {
    subdomain: String,
    txt: String,
}

#[derive(Deserialize, Default)]
struct Register {
    #[serde(default)]
    allowfrom: Vec<String>,
}

type Peer = ConnectInfo<SocketAddr>;

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(WAIT_S));
    }
    response
}

fn fault(status: StatusCode, word: &str) -> Response {
    answer(status, &json!({ "error": word }))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if value.len() > HEADER_OCTETS_MAX { "" } else { value }
}

async fn update(State(way): State<Way>, peer: Peer, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(wanted) = serde_json::from_slice::<Update>(&body) else {
        return fault(StatusCode::BAD_REQUEST, "malformed_json_payload");
    };
    let asked = Asked {
        user: header(&headers, &USER),
        secret: header(&headers, &KEY),
        id: &wanted.subdomain,
        value: &wanted.txt,
        peer: peer.0.ip(),
    };
    match way.desk.update(asked).await {
        Ok(()) => answer(StatusCode::OK, &json!({ "txt": wanted.txt })),
        Err(Refusal::Forbidden) => fault(StatusCode::UNAUTHORIZED, "forbidden"),
        Err(Refusal::BadValue) => fault(StatusCode::BAD_REQUEST, "bad_txt"),
        Err(Refusal::TooOften) => fault(StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
        Err(Refusal::Failed) => fault(StatusCode::INTERNAL_SERVER_ERROR, "db_error"),
    }
}

/// A token in `Authorization: Bearer TOKEN` or `Basic base64(ANYTHING:TOKEN)`: the latter is what clients send whose
/// address of the server is `https://account:TOKEN@host`.
fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = header(headers, &AUTHORIZATION).split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    let pair = BASE64.decode(rest.trim().as_bytes()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some(std::str::from_utf8(&pair).ok()?.split_once(':')?.1.to_owned())
}

async fn register(State(way): State<Way>, peer: Peer, headers: HeaderMap, body: Bytes) -> Response {
    let token = token(&headers).unwrap_or_default();
    let Some(token) = way.updates.and_then(|updates| updates.token_of(&token, TokenKind::Acme, peer.0.ip())) else {
        let mut response = fault(StatusCode::UNAUTHORIZED, "unauthorized");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"acme-dns\""));
        return response;
    };
    let wanted = if body.is_empty() { Ok(Register::default()) } else { serde_json::from_slice(&body) };
    let Ok(Register { allowfrom }) = wanted else {
        return fault(StatusCode::BAD_REQUEST, "malformed_json_payload");
    };
    let networks: Option<Vec<IpNet>> = allowfrom.iter().map(|text| text.parse().ok()).collect();
    let Some(networks) = networks.filter(|networks| networks.len() <= NETWORKS_MAX) else {
        return fault(StatusCode::BAD_REQUEST, "invalid_allowfrom_cidr");
    };
    let who = format!("token {}", token.id);
    let wanted = Wanted { account: token.account, host: token.host, networks };
    match way.desk.register(wanted, who).await {
        Ok((key, secret)) => answer(
            StatusCode::CREATED,
            &json!({
                "username": key.user, "password": secret, "fulldomain": key.name, "subdomain": key.id,
                "allowfrom": allowfrom,
            }),
        ),
        Err(NoKey::NotTheirs(_)) => fault(StatusCode::UNAUTHORIZED, "forbidden"),
        Err(NoKey::Store(NameError::Enough(..))) => fault(StatusCode::TOO_MANY_REQUESTS, "too_many_keys"),
        Err(error @ (NoKey::NoRandomness(_) | NoKey::Store(_))) => {
            tracing::error!(%error, "an ACME client got no key");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "db_error")
        }
    }
}
