//! `PUT /hb/recipients`: the customer's machine says who lives in his domains (docs/PROTOCOL.md, "Over HTTP").

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::super::handlers::{Beats, holder, refused, too_soon, words};
use super::super::limit::UPLOAD_EVERY;
use crate::base::DomainName;
use crate::recipient::list::UPLOAD_OCTETS_MAX;
use crate::recipient::{RecipientError, list};

/// For the whole list: 16 MiB at 1 Mbit/s.
const UPLOAD_WITHIN: Duration = Duration::from_secs(150);
/// Lists that are read at one time.
pub(in crate::web) const UPLOADS_MAX: usize = 2;

/// Carries the key of the hashes in the list: not in the address, which is logged on the way.
const KEY_HEADER: &str = "pulsemx-hash-key";

/// What an upload may say beside its lines.
#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct UploadAsk {
    domain: Option<String>,
}

/// The list in the body takes the place of the one before, for each domain that it names.
pub(in crate::web) async fn put(
    State(state): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: Result<Query<UploadAsk>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (locator, _) = match holder(&state, peer, &headers) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (door, beats) = &state;
    let Some(recipients) = &door.app.rooms.recipients else { return StatusCode::NOT_FOUND.into_response() };
    let Some((account, endpoint)) = beats.rooms.server.endpoint_of(locator) else { return refused() };
    let now = door.app.clock.monotonic();
    if !beats.limits.lock().unwrap_or_else(PoisonError::into_inner).admits_upload(endpoint, now) {
        return too_soon(UPLOAD_EVERY, "a list was uploaded a moment ago");
    }
    let domain = match query.map(|Query(ask)| ask.domain.map(|text| DomainName::parse(&text)).transpose()) {
        Ok(Ok(domain)) => domain,
        Ok(Err(error)) => return words(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(rejection) => return rejection.into_response(),
    };
    // Only now, and only of so many at a time: before this a stranger could have made us keep what he sends.
    let Ok(_place) = Arc::clone(&beats.uploads).try_acquire_owned() else {
        return too_soon(UPLOAD_EVERY, "other lists are being uploaded");
    };
    let text = match timeout(UPLOAD_WITHIN, to_bytes(body, UPLOAD_OCTETS_MAX))
        .await
        .map(|body| body.map(|body| String::from_utf8(body.into())))
    {
        Ok(Ok(Ok(text))) => text,
        Ok(Ok(Err(_))) => return words(StatusCode::BAD_REQUEST, "the list is not UTF-8"),
        Ok(Err(_)) => return words(StatusCode::PAYLOAD_TOO_LARGE, "the list broke off or is longer than 16 MiB"),
        Err(_) => return words(StatusCode::REQUEST_TIMEOUT, "the list did not come in time"),
    };
    let directory = door.app.rooms.directory.load();
    let own = |name: &DomainName| directory.served(name).is_some_and(|served| served.account.id == account);
    let key = headers.get(KEY_HEADER).map(axum::http::HeaderValue::as_bytes);
    let lists = match list::parse(&text, &own, domain.as_ref(), key) {
        Ok(lists) => lists,
        Err(error) => return words(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    let listed: serde_json::Map<String, serde_json::Value> =
        lists.iter().map(|(domain, list)| (domain.to_string(), json!(list.entries.len()))).collect();
    match recipients.replace_lists(account, lists, &door.change("heartbeat client")).await {
        Ok(()) => Json(json!({ "listed": listed })).into_response(),
        Err(error @ (RecipientError::Full | RecipientError::NoAccount)) => {
            words(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string())
        }
        Err(error @ RecipientError::Engine(_)) => {
            tracing::error!(%account, %error, "a list of recipients was not stored");
            let wait = Duration::from_secs(60);
            let after = [(axum::http::header::RETRY_AFTER, wait.as_secs().to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, after, "the list could not be stored just now\n").into_response()
        }
    }
}
