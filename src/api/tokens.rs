//! Tokens through tokens: each may look at itself and change its own secret; one with `admin` looks after all of the
//! account, and gives no right that it has not.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::asked::{Named, Sent};
use super::caller::Caller;
use super::driver::Api;
use super::mail::Nothing;
use super::problem::Fault;
use crate::account::token_office::{OVERLAP, OVERLAP_MAX};
use crate::account::{ApiTokenId, FreshApiToken, NewApiToken, Scopes};
use crate::base::WallTime;
use crate::control::token_request::{ApiTokenShown, FreshTokenShown};

#[derive(Debug, Serialize)]
pub(super) struct TokenPage {
    tokens: Vec<ApiTokenShown>,
}

fn fresh(caller: &Caller, made: &FreshApiToken) -> FreshTokenShown {
    let shown = ApiTokenShown::of(&made.token, caller.account.name.clone(), caller.now);
    FreshTokenShown { token: made.text.as_str().to_owned(), shown }
}

/// `GET /token`: the one that asks.
pub(super) async fn own(caller: Caller) -> Json<ApiTokenShown> {
    Json(ApiTokenShown::of(&caller.token, caller.account.name.clone(), caller.now))
}

/// `GET /tokens`
pub(super) async fn list(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<TokenPage>, Fault> {
    let tokens = api.running()?.tokens.list(Some(caller.account.id));
    let shown = tokens.iter().map(|token| ApiTokenShown::of(token, caller.account.name.clone(), caller.now));
    Ok(Json(TokenPage { tokens: shown.collect() }))
}

/// A token that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAsk {
    label: String,
    scopes: Scopes,
    expires_at: Option<WallTime>,
}

/// `POST /tokens`: its text stands in this answer alone.
pub(super) async fn make(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Sent(asked): Sent<NewAsk>,
) -> Result<Response, Fault> {
    let NewAsk { label, scopes, expires_at } = asked;
    let new = NewApiToken { account: caller.account.id, label, scopes, expires_at };
    let made = api.running()?.tokens.make(new, caller.grantor(), caller.change()).await?;
    Ok((StatusCode::CREATED, Json(fresh(&caller, &made))).into_response())
}

/// How long the secret of today is still good.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateAsk {
    overlap_s: Option<u64>,
}

async fn renew(api: &Api, caller: &Caller, id: &ApiTokenId, asked: RotateAsk) -> Result<Json<FreshTokenShown>, Fault> {
    let overlap = asked.overlap_s.map_or(OVERLAP, Duration::from_secs);
    if overlap > OVERLAP_MAX {
        return Err(Fault::Refused(format!("overlap_s is 0 to {}", OVERLAP_MAX.as_secs())));
    }
    let tokens = &api.running()?.tokens;
    let made = tokens.rotate(caller.account.id, id, overlap, caller.grantor(), caller.change()).await?;
    Ok(Json(fresh(caller, &made)))
}

/// `POST /token/rotate`: a new secret for the one that asks.
pub(super) async fn rotate_own(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Sent(asked): Sent<RotateAsk>,
) -> Result<Json<FreshTokenShown>, Fault> {
    renew(&api, &caller, &caller.token.id, asked).await
}

/// `POST /tokens/{id}/rotate`
pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<ApiTokenId>,
    Sent(asked): Sent<RotateAsk>,
) -> Result<Json<FreshTokenShown>, Fault> {
    renew(&api, &caller, &id, asked).await
}

/// `DELETE /tokens/{id}`: at once, also the one that asks.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<ApiTokenId>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<StatusCode, Fault> {
    api.running()?.tokens.revoke(caller.account.id, &id, caller.change()).await?;
    Ok(StatusCode::NO_CONTENT)
}
