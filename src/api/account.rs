//! How the account stands: what `account show` shows, its history, its outages, its days.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Sent};
use super::caller::Caller;
use super::driver::Api;
use super::problem::Fault;
use crate::account::{Account, Publication};
use crate::base::{EndpointId, WallTime};
use crate::control::reply::AccountShown;
use crate::control::{Reply, Request};
use crate::liveness::day::DAYS_MAX;
use crate::liveness::{Cause, DaySummary, HistoryRow, LineState};
use crate::web::history;
use crate::web::public::{Addresses, publish};

/// Rows of history in one answer, and those in which outages are looked for.
const HISTORY_ROWS_MAX: u32 = 1_000;
const HISTORY_ROWS: u32 = 100;
/// Days before today that are shown unless asked for: the lanes of the page.
const DAYS_BACK: u64 = 89;

impl Api {
    /// The account as `account show` shows it.
    pub(super) async fn account_shown(&self, account: &Account, now: WallTime) -> Result<AccountShown, Fault> {
        let request = Request::AccountShow { name: account.name.clone() };
        let Reply::Account(shown) = self.desk.carry_out(request, now).await? else { return Err(Fault::odd()) };
        Ok(*shown)
    }
}

/// `GET /account`
pub(super) async fn show(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<AccountShown>, Fault> {
    api.account_shown(&caller.account, caller.now).await.map(Json)
}

/// How many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryAsk {
    limit: Option<u32>,
}

/// `limit` within its bounds.
///
/// # Errors
/// [`Fault::Unreadable`] outside of them.
pub(super) fn limit(asked: Option<u32>, ordinary: u32, most: u32) -> Result<u32, Fault> {
    match asked {
        None => Ok(ordinary),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Fault::Unreadable(format!("limit is 1 to {most}"))),
    }
}

/// One line of history.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum HistoryShown {
    State { at: WallTime, server: Option<String>, from: LineState, to: LineState, cause: Cause, since: WallTime },
    Address { at: WallTime, server: Option<String>, from: Option<IpAddr>, to: IpAddr },
    NoData { at: WallTime, server: Option<String>, since: WallTime, is_over: bool },
    Interval { at: WallTime, server: Option<String>, interval_ms: u64 },
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn history_shown(row: HistoryRow, server: impl Fn(EndpointId) -> Option<String>) -> HistoryShown {
    let (at, server) = (row.at(), server(row.endpoint()));
    match row {
        HistoryRow::State(row) => {
            HistoryShown::State { at, server, from: row.from, to: row.to, cause: row.cause, since: row.since }
        }
        HistoryRow::Address(row) => HistoryShown::Address { at, server, from: row.from, to: row.to },
        HistoryRow::NoData(row) => HistoryShown::NoData { at, server, since: row.since, is_over: row.is_over },
        HistoryRow::Interval(row) => HistoryShown::Interval { at, server, interval_ms: millis(row.interval) },
    }
}

#[derive(Debug, Serialize)]
pub(super) struct HistoryPage {
    history: Vec<HistoryShown>,
}

/// `GET /account/history`: newest first.
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<HistoryAsk>,
) -> Result<Json<HistoryPage>, Fault> {
    let limit = limit(asked.limit, HISTORY_ROWS, HISTORY_ROWS_MAX)?;
    let rows = api.desk.log.history(caller.account.id, limit).await.map_err(|error| Fault::trouble(&error))?;
    let directory = api.desk.directory.load();
    let server = |id| directory.endpoint(id).map(|endpoint| endpoint.host.to_string());
    Ok(Json(HistoryPage { history: rows.into_iter().map(|row| history_shown(row, server)).collect() }))
}

/// One outage.
#[derive(Debug, Serialize)]
struct OutageShown {
    since: WallTime,
    noticed_at: WallTime,
    returned_at: Option<WallTime>,
    confirmed_at: Option<WallTime>,
    cause: Cause,
    new_address: Option<IpAddr>,
}

#[derive(Debug, Serialize)]
pub(super) struct OutagePage {
    outages: Vec<OutageShown>,
}

/// `GET /account/outages`: newest first, as the page tells them.
pub(super) async fn outages(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<OutagePage>, Fault> {
    let rows = api.desk.log.history(caller.account.id, HISTORY_ROWS_MAX).await;
    let rows = rows.map_err(|error| Fault::trouble(&error))?;
    let outages = history::outages(&rows).into_iter().map(|outage| OutageShown {
        since: outage.since,
        noticed_at: outage.noticed_at,
        returned_at: outage.returned_at,
        confirmed_at: outage.confirmed_at,
        cause: outage.cause,
        new_address: outage.new_address.map(|change| change.to),
    });
    Ok(Json(OutagePage { outages: outages.collect() }))
}

/// What is public of the account.
#[derive(Debug, Serialize)]
pub(super) struct PublicShown {
    is_public: bool,
    page: Option<String>,
    badge: Option<String>,
    rss: Option<String>,
    ics: Option<String>,
}

fn public_shown(public: Option<&Publication>, url: &str) -> Json<PublicShown> {
    let addresses = public.map(Addresses::of);
    let at = |path: fn(&Addresses) -> &String| {
        addresses.as_ref().map(|addresses| format!("{}{}", url.trim_end_matches('/'), path(addresses)))
    };
    let (page, badge, rss, ics) = (at(|a| &a.page), at(|a| &a.badge), at(|a| &a.rss), at(|a| &a.ics));
    Json(PublicShown { is_public: public.is_some(), page, badge, rss, ics })
}

/// `GET /account/public`
pub(super) async fn public(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<PublicShown>, Fault> {
    let running = api.running()?;
    let public = running.people.publication(caller.account.id).await.map_err(|error| Fault::trouble(&error))?;
    Ok(public_shown(public.as_ref(), &running.public_url))
}

/// Whether everybody may see the state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPublic {
    is_public: bool,
}

/// `PUT /account/public`
pub(super) async fn set_public(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Sent(wish): Sent<SetPublic>,
) -> Result<Json<PublicShown>, Fault> {
    let running = api.running()?;
    let public = publish(running.people.as_ref(), caller.account.id, wish.is_public, caller.change()).await;
    let public = public.map_err(|error| Fault::trouble(&error))?;
    Ok(public_shown(public.as_ref(), &running.public_url))
}

/// Which days, of UTC.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DaysAsk {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

#[derive(Debug, Serialize)]
pub(super) struct DayPage {
    days: Vec<DaySummary>,
}

/// `GET /account/days`: oldest first, the last 90 unless asked for others.
pub(super) async fn days(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Asked(asked): Asked<DaysAsk>,
) -> Result<Json<DayPage>, Fault> {
    let today = caller.now.date_naive();
    let to = asked.to.unwrap_or(today);
    let from = match asked.from {
        Some(from) => from,
        None => to.checked_sub_days(Days::new(DAYS_BACK)).unwrap_or(to),
    };
    let is_fair = from <= to && to <= today && u64::try_from((to - from).num_days()).is_ok_and(|days| days < DAYS_MAX);
    if !is_fair {
        return Err(Fault::Refused(format!("from and to are days up to today, {DAYS_MAX} at most, in this order")));
    }
    let days = api.desk.log.days(caller.account.id, from, to, caller.now).await;
    days.map(|days| Json(DayPage { days })).map_err(|error| Fault::trouble(&error))
}
