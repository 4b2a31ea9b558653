//! Domains with the records they need, and zones as far as the desk lets an account change them: those that it has.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Named, Sent, Written};
use super::caller::Caller;
use super::driver::Api;
use super::problem::Fault;
use crate::base::DomainName;
use crate::control::Reply;
use crate::control::reply::ZoneShown;
use crate::control::request::ZoneRequest;
use crate::dns::{NameError, StoredZone};
use crate::web::domain_pages::{mail_domains, wanted};

/// Characters of a reason that goes into the history of a zone.
const WHY_CHARS_MAX: usize = 200;
/// Records of one name and type in one request.
const DATA_MAX: usize = 100;
/// TTL of records unless asked for, seconds; and the longest (RFC 2181 §8).
const TTL_S: u32 = 300;
const TTL_S_MAX: u32 = 0x7fff_ffff;

impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        Self::trouble(&error)
    }
}

/// A record that a domain needs.
#[derive(Debug, Serialize)]
struct RecordShown {
    name: String,
    r#type: &'static str,
    preference: u16,
    data: String,
    /// Whether it stands in the zone that we serve; null where others serve it.
    found: Option<bool>,
}

#[derive(Debug, Serialize)]
struct DomainShown {
    domain: DomainName,
    records: Vec<RecordShown>,
    /// Recipients on its list; null without one.
    listed: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct DomainPage {
    domains: Vec<DomainShown>,
}

/// `GET /domains`
pub(super) async fn domains(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<DomainPage>, Fault> {
    let zones = api.desk.names.zones_of(caller.account.id).await?;
    let (ours, recipients) = (api.desk.hostname.as_str(), api.running()?.recipients.clone());
    let served = mail_domains(&api.desk.directory.load(), caller.account.id);
    let domains = served.into_iter().map(|(domain, hosts)| {
        let records = wanted(&domain, &hosts, ours, &zones).into_iter().map(|record| RecordShown {
            name: domain.to_string(),
            r#type: "MX",
            preference: record.preference,
            data: format!("{}.", record.target),
            found: record.found,
        });
        let listed = recipients.list_of(caller.account.id, &domain).map(|(count, _)| count);
        DomainShown { records: records.collect(), listed, domain }
    });
    Ok(Json(DomainPage { domains: domains.collect() }))
}

#[derive(Debug, Serialize)]
struct ZoneLine {
    zone: DomainName,
    serial: u32,
    records: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct ZonePage {
    zones: Vec<ZoneLine>,
}

/// `GET /zones`
pub(super) async fn zones(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<ZonePage>, Fault> {
    let dns = api.running()?.dns.clone();
    let line = |zone: StoredZone| ZoneLine {
        serial: dns.as_ref().and_then(|dns| dns.serial(&zone.apex)).unwrap_or(zone.serial),
        records: zone.records.len(),
        zone: zone.apex,
    };
    let zones = api.desk.names.zones_of(caller.account.id).await?;
    Ok(Json(ZonePage { zones: zones.into_iter().map(line).collect() }))
}

/// # Errors
/// [`Fault::NotFound`] unless the zone is this account's.
async fn require_own(api: &Api, caller: &Caller, zone: &DomainName) -> Result<(), Fault> {
    let zones = api.desk.names.zones_of(caller.account.id).await?;
    if zones.iter().any(|known| known.apex == *zone) { Ok(()) } else { Err(Fault::NotFound) }
}

/// What the desk said of a zone of this account.
async fn ask(api: &Api, caller: &Caller, zone: &DomainName, request: ZoneRequest) -> Result<Reply, Fault> {
    require_own(api, caller, zone).await?;
    Ok(api.desk.carry_out_zone(request, caller.change()).await?)
}

/// `GET /zones/{zone}`: its records and what was changed last.
pub(super) async fn zone(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(zone): Named<DomainName>,
) -> Result<Json<ZoneShown>, Fault> {
    let shown = ask(&api, &caller, &zone, ZoneRequest::Show { zone: zone.clone() }).await?;
    let Reply::Zone(shown) = shown else { return Err(Fault::odd()) };
    Ok(Json(*shown))
}

/// `GET /zones/{zone}/file`
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(zone): Named<DomainName>,
) -> Result<Response, Fault> {
    let exported = ask(&api, &caller, &zone, ZoneRequest::Export { zone: zone.clone() }).await?;
    let Reply::ZoneText { text, .. } = exported else { return Err(Fault::odd()) };
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response())
}

/// What a change is noted with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyAsk {
    why: Option<String>,
}

fn why(asked: Option<String>) -> String {
    let asked = asked.unwrap_or_else(|| "API".to_owned());
    asked.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect()
}

/// What was done, in a sentence.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    done: String,
    warnings: Vec<String>,
}

pub(super) fn done(reply: Reply) -> Result<Json<Done>, Fault> {
    let Reply::Done { message, warnings } = reply else { return Err(Fault::odd()) };
    Ok(Json(Done { done: message, warnings }))
}

/// `PUT /zones/{zone}/file`: the zone as this file says, if it can be served.
pub(super) async fn import(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(zone): Named<DomainName>,
    Asked(asked): Asked<WhyAsk>,
    Written(text): Written,
) -> Result<Json<Done>, Fault> {
    let account = caller.account.name.clone();
    let request = ZoneRequest::Import { account, zone: zone.clone(), text, why: why(asked.why) };
    done(ask(&api, &caller, &zone, request).await?)
}

/// The records of one name and type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordsAsk {
    /// Relative to the zone, as in a zone file; `@` for the zone itself.
    name: String,
    r#type: String,
    /// As in a zone file, one for each record; none to take them away.
    data: Vec<String>,
    ttl: Option<u32>,
    why: Option<String>,
}

/// `POST /zones/{zone}/records`: these in place of those of the same name and type.
pub(super) async fn set_records(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(zone): Named<DomainName>,
    Sent(asked): Sent<RecordsAsk>,
) -> Result<Json<Done>, Fault> {
    let ttl = asked.ttl.unwrap_or(TTL_S);
    if asked.data.len() > DATA_MAX || ttl > TTL_S_MAX {
        return Err(Fault::Refused(format!("data has {DATA_MAX} records at most, ttl is 0 to {TTL_S_MAX}")));
    }
    let request = ZoneRequest::Set {
        zone: zone.clone(),
        name: asked.name,
        record_type: asked.r#type,
        data: asked.data,
        ttl,
        why: why(asked.why),
    };
    done(ask(&api, &caller, &zone, request).await?)
}

/// A zone file that is to be looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckAsk {
    text: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Checked {
    good: bool,
    findings: Vec<String>,
}

/// `POST /zones/{zone}/check`: what is wrong with the zone, or with a text before it is put in its place.
pub(super) async fn check(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Named(zone): Named<DomainName>,
    Sent(asked): Sent<CheckAsk>,
) -> Result<Json<Checked>, Fault> {
    let checked = ask(&api, &caller, &zone, ZoneRequest::Check { zone: zone.clone(), text: asked.text }).await?;
    let Reply::ZoneChecked { is_good, findings } = checked else { return Err(Fault::odd()) };
    Ok(Json(Checked { good: is_good, findings }))
}
