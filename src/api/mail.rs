//! Held mail: found, looked at, followed, and what is to become of it. A message is there only if it is this account's.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::account::limit;
use super::asked::{Asked, Named, Sent};
use super::caller::Caller;
use super::driver::Api;
use super::problem::Fault;
use crate::base::{SpoolId, WallTime};
use crate::control::desk::message_shown;
use crate::control::mail_request::MessageRuling;
use crate::control::post_reply::MessageTraceShown;
use crate::control::post_request::PostRequest;
use crate::control::reply::MessageShown;
use crate::control::{Reply, Request};
use crate::spool::search::{SEARCH_ROWS_MAX, Words};
use crate::spool::{
    ListCursor, MessageDetail, MessageRow, RecipientState, RetrySelection, SearchQuery, SpoolError, StateFilter,
};
use crate::verdict::Verdict;
use crate::web::content;

/// Messages of a page unless asked for another number.
const ROWS: u32 = 50;

impl From<SpoolError> for Fault {
    fn from(error: SpoolError) -> Self {
        Self::trouble(&error)
    }
}

/// Which messages.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateAsk {
    #[default]
    Held,
    Waiting,
    Kept,
    Refused,
    Delivered,
    Any,
}

impl From<StateAsk> for StateFilter {
    fn from(asked: StateAsk) -> Self {
        match asked {
            StateAsk::Held => Self::Held,
            StateAsk::Waiting => Self::Waiting,
            StateAsk::Kept => Self::KeptBack,
            StateAsk::Refused => Self::Refused,
            StateAsk::Delivered => Self::Delivered,
            StateAsk::Any => Self::Any,
        }
    }
}

/// What is looked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListAsk {
    #[serde(default)]
    state: StateAsk,
    /// Sender or recipient, whole or a part.
    q: Option<String>,
    from: Option<WallTime>,
    until: Option<WallTime>,
    after: Option<String>,
    limit: Option<u32>,
}

/// A message with its subject, for those who may see it.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    message: MessageShown,
    subject: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ListPage {
    messages: Vec<Line>,
    /// Give it as `after` for the next page.
    next: Option<String>,
    /// More was looked through than one answer allows: go on with `next`, also where this page is empty.
    is_cut: bool,
}

fn line(api: &Api, caller: &Caller, row: &MessageRow) -> Line {
    let subject = caller.sees_header().then(|| row.subject.clone());
    Line { message: message_shown(&api.desk.directory.load(), row), subject }
}

/// `GET /messages`: oldest first.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<ListAsk>,
) -> Result<Json<ListPage>, Fault> {
    let after = asked.after.map(|id| SpoolId::from_str(&id)).transpose();
    let after = after.map_err(|_| Fault::Unreadable("after is a cursor from next".to_owned()))?;
    let query = SearchQuery {
        account: caller.account.id,
        filter: asked.state.into(),
        words: asked.q.as_deref().and_then(Words::parse),
        accepted_from: asked.from,
        accepted_until: asked.until,
        after: after.map(ListCursor),
        limit: limit(asked.limit, ROWS, SEARCH_ROWS_MAX)?,
    };
    let page = api.desk.spool.search(query).await?;
    Ok(Json(ListPage {
        messages: page.rows.iter().map(|row| line(&api, &caller, row)).collect(),
        next: page.next.map(|cursor| cursor.0.to_string()),
        is_cut: page.is_cut,
    }))
}

/// One message of this account, and whether another one shares it.
async fn own(api: &Api, caller: &Caller, id: SpoolId) -> Result<(MessageDetail, bool), Fault> {
    let mut detail = api.desk.spool.show(id).await?.ok_or(Fault::NotFound)?;
    let of_all = detail.row.recipients.len();
    detail.row.recipients.retain(|recipient| recipient.account == caller.account.id);
    if detail.row.recipients.is_empty() {
        return Err(Fault::NotFound);
    }
    let is_shared = detail.row.recipients.len() != of_all;
    Ok((detail, is_shared))
}

/// One message.
#[derive(Debug, Serialize)]
pub(super) struct MessageWhole {
    #[serde(flatten)]
    line: Line,
    header_from: Option<String>,
    message_id: Option<String>,
    peer: IpAddr,
    helo: String,
    tls: Option<String>,
    sha256: String,
    verdict: Option<Verdict>,
    is_shared: bool,
    /// Its content is here and may be fetched.
    is_here: bool,
}

/// `GET /messages/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
) -> Result<Json<MessageWhole>, Fault> {
    let (detail, is_shared) = own(&api, &caller, id).await?;
    let sees = caller.sees_header();
    Ok(Json(MessageWhole {
        line: line(&api, &caller, &detail.row),
        header_from: sees.then_some(detail.header_from),
        message_id: sees.then_some(detail.message_id),
        peer: detail.peer,
        helo: detail.helo,
        tls: detail.row.tls.clone(),
        sha256: data_encoding::HEXLOWER.encode(&detail.sha256),
        verdict: api.desk.verdicts.verdict(id).await?,
        is_shared,
        is_here: detail.row.recipients.iter().any(|r| r.state != RecipientState::Delivered),
    }))
}

/// `GET /messages/{id}/trace`: everything that happened to it, in order of time.
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
) -> Result<Json<MessageTraceShown>, Fault> {
    let (detail, is_shared) = own(&api, &caller, id).await?;
    let request = Request::Post(PostRequest::Trace { id: id.to_string() });
    let Reply::MessageTrace(mut shown) = api.desk.carry_out(request, caller.now).await? else {
        return Err(Fault::odd());
    };
    if is_shared {
        // What is about nobody of this account may be about another one's.
        let is_own = |to: &str| detail.row.recipients.iter().any(|r| r.mailbox == to);
        shown.steps.retain(|step| match &step.to {
            Some(to) => is_own(to),
            None => matches!(step.what.as_str(), "accepted" | "checked"),
        });
    }
    Ok(Json(*shown))
}

/// `GET /messages/{id}/content`: as it will be handed over; noted in the audit log.
pub(super) async fn content(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
) -> Result<Response, Fault> {
    let whose = (caller.account.id, id);
    let whole = content::whole(&api.desk.spool, &*api.desk.accounts, whose, caller.change()).await;
    whole.map_err(|error| Fault::trouble(&error))?.ok_or(Fault::NotFound)
}

/// How many recipients were changed.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    recipients: u64,
}

/// Nothing is said beside the address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

async fn rule(api: &Api, caller: &Caller, id: SpoolId, ruling: MessageRuling) -> Result<Json<Changed>, Fault> {
    let (detail, is_shared) = own(api, caller, id).await?;
    if is_shared {
        return Err(Fault::Shared);
    }
    let recipients = api.desk.rule_message(&detail, ruling, caller.change()).await?;
    api.hub.ring(caller.account.id);
    Ok(Json(Changed { recipients }))
}

/// `POST /messages/{id}/hold`
pub(super) async fn hold(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Changed>, Fault> {
    rule(&api, &caller, id, MessageRuling::Hold).await
}

/// `POST /messages/{id}/release`
pub(super) async fn release(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Changed>, Fault> {
    rule(&api, &caller, id, MessageRuling::Release).await
}

/// `POST /messages/{id}/fail`: given up, to quarantine.
pub(super) async fn fail(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Changed>, Fault> {
    rule(&api, &caller, id, MessageRuling::Fail).await
}

/// Nobody will ever get it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DropAsk {
    #[serde(default)]
    sure: bool,
}

/// `POST /messages/{id}/drop`: removed for good.
pub(super) async fn discard(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
    Sent(asked): Sent<DropAsk>,
) -> Result<Json<Changed>, Fault> {
    if !asked.sure {
        return Err(Fault::Refused("nobody would ever get the message; say \"sure\": true".to_owned()));
    }
    rule(&api, &caller, id, MessageRuling::Drop).await
}

/// `POST /messages/{id}/retry`
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<SpoolId>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Changed>, Fault> {
    let (_, is_shared) = own(&api, &caller, id).await?;
    if is_shared {
        return Err(Fault::Shared);
    }
    try_again(&api, &caller, RetrySelection::Message(id)).await
}

/// `POST /messages/retry`: everything that the account holds.
pub(super) async fn retry_all(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Changed>, Fault> {
    try_again(&api, &caller, RetrySelection::Account(caller.account.id)).await
}

async fn try_again(api: &Api, caller: &Caller, what: RetrySelection) -> Result<Json<Changed>, Fault> {
    let recipients = api.desk.try_again(what, &[caller.account.id], caller.change()).await?;
    api.hub.ring(caller.account.id);
    Ok(Json(Changed { recipients }))
}
