//! `/hb/drill`: the customer's machine begins a fire drill and asks how it goes (docs/PROTOCOL.md, "Over HTTP").

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::handlers::{Beats, holder, refused, words};
use crate::account::Account;
use crate::alert::Language;
use crate::drill::shown::DrillShown;
use crate::drill::words as told;
use crate::drill::{Drills, Record, Refusal};

/// Who begins a drill with a heartbeat token, in the audit log.
const ACTOR: &str = "heartbeat client";

/// What a request may say.
#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct DrillAsk {
    to: Option<String>,
    lang: Option<String>,
}

type DrillQuery = Result<Query<DrillAsk>, QueryRejection>;

/// `POST`: begins one. 409 with a sentence where none can begin, 429 where there were too many.
pub(in crate::web) async fn post(
    State(state): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: DrillQuery,
    headers: HeaderMap,
) -> Response {
    let (ask, account) = match asked(&state, peer, query, &headers) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let Some(drills) = drills(&state) else { return StatusCode::NOT_FOUND.into_response() };
    let language = language(&ask);
    match drills.begin(account.id, ask.to.as_deref(), ACTOR).await {
        Ok(record) => shown(&account, &record, language),
        Err(refusal) => words(status_of(&refusal), &told::refusal(&refusal, language)),
    }
}

/// `GET`: how it goes, or how the last one ended.
pub(in crate::web) async fn get(
    State(state): Beats,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: DrillQuery,
    headers: HeaderMap,
) -> Response {
    let (ask, account) = match asked(&state, peer, query, &headers) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    match drills(&state).and_then(|drills| drills.record(account.id)) {
        Some(record) => shown(&account, &record, language(&ask)),
        None => words(StatusCode::NOT_FOUND, "there was no drill of this account yet"),
    }
}

#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
fn asked(
    state: &(crate::web::request::Door, std::sync::Arc<super::BeatDoor>),
    peer: SocketAddr,
    query: DrillQuery,
    headers: &HeaderMap,
) -> Result<(DrillAsk, Account), Response> {
    let (locator, _) = holder(state, peer, headers)?;
    let (door, beats) = state;
    let (account, _) = beats.rooms.server.endpoint_of(locator).ok_or_else(refused)?;
    let account = door.app.rooms.directory.load().account(account).cloned().ok_or_else(refused)?;
    let ask = query.map_err(IntoResponse::into_response)?;
    Ok((ask.0, account))
}

fn drills((door, _): &(crate::web::request::Door, std::sync::Arc<super::BeatDoor>)) -> Option<&std::sync::Arc<Drills>> {
    door.app.rooms.drills.as_ref()
}

fn language(ask: &DrillAsk) -> Language {
    ask.lang.as_deref().and_then(Language::from_stored).unwrap_or_default()
}

fn shown(account: &Account, record: &Record, language: Language) -> Response {
    Json(DrillShown::of(account.name.as_str(), record, language)).into_response()
}

/// Which status tells a program the same as the sentence tells a person.
pub(crate) const fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NotOnline { .. } | Refusal::NotActive | Refusal::Stopped { .. } | Refusal::Running => {
            StatusCode::CONFLICT
        }
        Refusal::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::NoDomain | Refusal::NotOwn { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NoAccount => StatusCode::NOT_FOUND,
        Refusal::Busy | Refusal::Service { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}
