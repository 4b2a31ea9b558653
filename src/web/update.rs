//! The doors for routers and other devices: dyndns2, DuckDNS-style and ping requests, and what the caller's address is.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use crate::update::driver::Asked;
use crate::update::word::{RETRY_AFTER_S, Word};
use crate::update::{Answer, Updates};

/// The room, and whether nobody on the way can read along.
#[derive(Clone)]
struct Way {
    updates: Arc<Updates>,
    is_encrypted: bool,
}

/// The paths of updates, and no other.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(updates: Arc<Updates>, is_encrypted: bool) -> Router<S> {
    Router::new()
        .route("/nic/update", any(dyndns2))
        .route("/update", any(duckdns))
        .route("/ping/{token}", any(ping))
        .route("/ip", any(address))
        .layer(DefaultBodyLimit::max(1024))
        .with_state(Way { updates, is_encrypted })
}

/// What a listener for updates alone says to everything else.
pub(super) async fn nothing_else() -> Response {
    (StatusCode::NOT_FOUND, "this address takes updates only\n").into_response()
}

type Peer = ConnectInfo<SocketAddr>;

impl Way {
    fn asked<'a>(&self, peer: &Peer, headers: &'a HeaderMap, query: Option<&'a str>) -> Asked<'a> {
        Asked {
            peer: peer.0.ip(),
            is_encrypted: self.is_encrypted,
            agent: headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default(),
            query: query.unwrap_or_default(),
        }
    }
}

async fn dyndns2(
    State(way): State<Way>,
    peer: Peer,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::POST {
        return answer(&Answer::of_words(&[Word::BadAgent]));
    }
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    answer(&way.updates.dyndns2(way.asked(&peer, &headers, query.as_deref()), authorization).await)
}

async fn duckdns(State(way): State<Way>, peer: Peer, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    answer(&way.updates.duckdns(way.asked(&peer, &headers, query.as_deref())).await)
}

async fn ping(
    State(way): State<Way>,
    peer: Peer,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&way.updates.ping(way.asked(&peer, &headers, query.as_deref()), &token).await)
}

/// For clients that ask a server for their own address, such as inadyn.
async fn address(peer: Peer) -> Response {
    answer(&Answer::plain(format!("{}\n", peer.0.ip().to_canonical())))
}

fn answer(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body.clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if answer.wants_login {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"updates\""));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}
