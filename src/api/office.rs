//! What surrounds the mail: recipients, channels of alerts, drills, the audit log.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::account::limit;
use super::asked::{Asked, Named, Sent, Written};
use super::caller::Caller;
use super::driver::Api;
use super::mail::Nothing;
use super::names::{Done, done};
use super::problem::Fault;
use crate::alert::office::{ChannelShown, OfficeError};
use crate::alert::{AlertError, Channel, Kind, Language};
use crate::base::{DomainName, WallTime};
use crate::control::Reply;
use crate::control::recipient_reply::{RecipientDomainShown, RecipientsShown};
use crate::control::request::RecipientRequest;
use crate::drill::Refusal;
use crate::drill::shown::DrillShown;
use crate::drill::words as told;
use crate::web::alert_page::{TEST_EVERY, place};
use crate::web::beat::drill::status_of;

/// Entries of a list of recipients in one answer.
const ENTRIES: u32 = 100;
const ENTRIES_MAX: u32 = 1_000;
/// Entries of the audit log in one answer.
const AUDIT: u32 = 100;
const AUDIT_MAX: u32 = 500;
/// Carries the key of the hashes in a list: not in the address, which is logged on the way.
const KEY_HEADER: &str = "pulsemx-hash-key";

/// Which list, from where on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipientsAsk {
    domain: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct RecipientPage {
    domains: Vec<RecipientDomainShown>,
    /// Of the list that was asked for with `domain`.
    entries: Vec<String>,
    /// Give it as `after` for the next page.
    next: Option<String>,
}

/// The domain of a query, if the account has it.
///
/// # Errors
/// [`Fault::NotFound`].
fn own_domain(api: &Api, caller: &Caller, name: Option<String>) -> Result<Option<DomainName>, Fault> {
    let Some(name) = name else { return Ok(None) };
    let domain = DomainName::parse(&name).map_err(|_| Fault::NotFound)?;
    let directory = api.desk.directory.load();
    let is_own = directory.served(&domain).is_some_and(|served| served.account.id == caller.account.id);
    if is_own { Ok(Some(domain)) } else { Err(Fault::NotFound) }
}

/// `GET /recipients`
pub(super) async fn recipients(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<RecipientsAsk>,
) -> Result<Json<RecipientPage>, Fault> {
    let limit = limit(asked.limit, ENTRIES, ENTRIES_MAX)?;
    let account = caller.account.name.clone();
    // One more than is shown tells whether there is more.
    let domain = own_domain(&api, &caller, asked.domain)?;
    let request = RecipientRequest::List { account, domain, after: asked.after, limit: limit + 1 };
    let Reply::Recipients(RecipientsShown { domains, mut entries, .. }) =
        api.desk.carry_out_recipients(request, caller.change()).await?
    else {
        return Err(Fault::odd());
    };
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = entries.len() > shown;
    entries.truncate(shown);
    let next = entries.last().filter(|_| has_more).cloned();
    Ok(Json(RecipientPage { domains, entries, next }))
}

/// The domain of bare names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportAsk {
    domain: Option<String>,
}

/// `PUT /recipients`: a list, one address a line, in place of that of each domain it names.
pub(super) async fn import_recipients(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<ImportAsk>,
    headers: HeaderMap,
    Written(list): Written,
) -> Result<Json<Done>, Fault> {
    let hash_key = headers.get(KEY_HEADER).map(|key| key.to_str().map(str::to_owned)).transpose();
    let hash_key = hash_key.map_err(|_| Fault::Unreadable(format!("{KEY_HEADER} is visible ASCII")))?;
    let account = caller.account.name.clone();
    let domain = own_domain(&api, &caller, asked.domain)?;
    let request = RecipientRequest::Import { account, list, domain, hash_key };
    done(api.desk.carry_out_recipients(request, caller.change()).await?)
}

/// A channel of alerts, without what is as good as a secret.
#[derive(Debug, Serialize)]
struct AlertShown {
    id: i64,
    scheme: String,
    place: String,
    has_secret: bool,
    configured: bool,
    language: Language,
    zone: String,
    quiet: Option<String>,
    delay_s: u64,
    recovery: bool,
    kinds: Vec<Kind>,
    created_at: WallTime,
    last_sent_at: Option<WallTime>,
    last_error: Option<String>,
    last_error_at: Option<WallTime>,
    failures: u64,
    waiting: u64,
    lost_total: u64,
}

impl From<ChannelShown> for AlertShown {
    fn from(shown: ChannelShown) -> Self {
        let channel = Channel::parse(&shown.url).ok();
        Self {
            id: shown.id,
            scheme: channel.as_ref().map_or_else(String::new, |channel| channel.scheme().to_owned()),
            place: channel.as_ref().map(place).unwrap_or_default(),
            has_secret: shown.has_secret,
            configured: shown.configured,
            language: shown.language,
            zone: shown.zone,
            quiet: shown.quiet,
            delay_s: shown.delay_s,
            recovery: shown.recovery,
            kinds: shown.kinds,
            created_at: shown.created_at,
            last_sent_at: shown.last_sent_at,
            last_error: shown.last_error,
            last_error_at: shown.last_error_at,
            failures: shown.failures,
            waiting: shown.waiting,
            lost_total: shown.lost_total,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct AlertPage {
    alerts: Vec<AlertShown>,
}

impl From<OfficeError> for Fault {
    fn from(error: OfficeError) -> Self {
        match error {
            OfficeError::Store(AlertError::NoChannel(_) | AlertError::NoAccount) => Self::NotFound,
            OfficeError::Test(_) => Self::NotThrough(error.to_string()),
            OfficeError::Store(_) | OfficeError::Seal(_) => Self::trouble(&error),
            OfficeError::Stopping => Self::Busy,
            OfficeError::Channel(_)
            | OfficeError::Target(_)
            | OfficeError::Served(_)
            | OfficeError::NoMail
            | OfficeError::NoKinds => Self::Refused(error.to_string()),
        }
    }
}

/// `GET /alerts`
pub(super) async fn alerts(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<AlertPage>, Fault> {
    let alerts = api.running()?.alerts.list(Some(caller.account.id)).await?;
    Ok(Json(AlertPage { alerts: alerts.into_iter().map(AlertShown::from).collect() }))
}

/// `POST /alerts/{id}/test`: now, without delay and quiet hours.
pub(super) async fn test_alert(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(id): Named<i64>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Done>, Fault> {
    let alerts = &api.running()?.alerts;
    if alerts.owner(id).await? != Some(Some(caller.account.id)) {
        return Err(Fault::NotFound);
    }
    let is_fair = {
        let mut pace = api.alert_tests.lock().unwrap_or_else(PoisonError::into_inner);
        pace.admits(caller.account.id, TEST_EVERY, api.clock.monotonic())
    };
    if !is_fair {
        return Err(Fault::TooMany(TEST_EVERY.as_secs()));
    }
    let noted = api.desk.accounts.note_of(caller.account.id, format!("alert.test {id}"), caller.change()).await;
    noted.map_err(|error| Fault::trouble(&error))?;
    alerts.test(Some(caller.account.id), id).await?;
    done(Reply::Done { message: format!("the test got through channel {id}"), warnings: Vec::new() })
}

/// `GET /drill`: how it goes, or how the last one ended.
pub(super) async fn drill(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<DrillShown>, Fault> {
    let record = api.running()?.drills.record(caller.account.id).ok_or(Fault::NotFound)?;
    Ok(Json(DrillShown::of(caller.account.name.as_str(), &record, caller.language)))
}

/// Where the test message goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrillAsk {
    to: Option<String>,
}

/// `POST /drill`: begins one.
pub(super) async fn begin_drill(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Sent(asked): Sent<DrillAsk>,
) -> Result<Response, Fault> {
    let begun = api.running()?.drills.begin(caller.account.id, asked.to.as_deref(), &caller.token.actor()).await;
    let record = begun.map_err(|refusal| {
        let said = told::refusal(&refusal, caller.language);
        match status_of(&refusal) {
            StatusCode::CONFLICT => Fault::Conflict(said),
            StatusCode::TOO_MANY_REQUESTS => Fault::Conflict(said),
            StatusCode::NOT_FOUND => Fault::NotFound,
            StatusCode::SERVICE_UNAVAILABLE if refusal == Refusal::Busy => Fault::Busy,
            StatusCode::SERVICE_UNAVAILABLE => Fault::trouble(&said),
            _ => Fault::Refused(said),
        }
    })?;
    let shown = DrillShown::of(caller.account.name.as_str(), &record, caller.language);
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}

/// How many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditAsk {
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
struct AuditShown {
    at: WallTime,
    who: String,
    what: String,
}

#[derive(Debug, Serialize)]
pub(super) struct AuditPage {
    entries: Vec<AuditShown>,
}

/// `GET /audit`: newest first.
pub(super) async fn audit(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<AuditAsk>,
) -> Result<Json<AuditPage>, Fault> {
    let limit = limit(asked.limit, AUDIT, AUDIT_MAX)?;
    let rows = api.desk.accounts.audit(Some(caller.account.id), limit).await;
    let rows = rows.map_err(|error| Fault::trouble(&error))?;
    let entries = rows.into_iter().map(|row| AuditShown { at: row.at, who: row.who, what: row.what });
    Ok(Json(AuditPage { entries: entries.collect() }))
}
