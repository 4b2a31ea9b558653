//! `/s/{id}`, `/badge/{id}.svg`, `/feed/{id}.rss` and `/feed/{id}.ics`: the same page "not found" for an id that never was
//! and for one that was switched off.

use std::sync::PoisonError;

use askama::Template;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::calendar::{self, Entry};
use super::office::Addresses;
use super::templates::{BadgeTemplate, FeedItem, FeedTemplate, OutageLine, PublicTemplate};
use crate::account::Publication;
use crate::base::{AccountId, WallTime};
use crate::liveness::{DaySummary, LineState};
use crate::web::handlers::Answer;
use crate::web::history::{Outage, outages};
use crate::web::page::Guest;
use crate::web::request::Visit;
use crate::web::words::Locale;
use crate::web::{days, format, view};

/// Rows of history in which outages are looked for, and outages that are told of.
const ROWS: u32 = 1_000;
const OUTAGES_ON_PAGE: usize = 10;
const OUTAGES_IN_FEED: usize = 50;
/// How long others may keep a copy: a state has to be fresh, a feed is asked for by programs.
const KEEP_STATE: &str = "public, max-age=30";
const KEEP_FEED: &str = "public, max-age=300";
/// Letters of an id that is looked up at all.
const ID_CHARS_MAX: usize = 64;

/// A guest who may ask, and who is nobody here even with a session of ours.
#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
fn admitted(mut guest: Guest) -> Result<Guest, Response> {
    let (app, now) = (&guest.door.app, guest.door.app.clock.monotonic());
    let admitted = app.guests.lock().unwrap_or_else(PoisonError::into_inner).admit(guest.peer, now);
    if let Err(wait) = admitted {
        let seconds = wait.as_secs().saturating_add(1).to_string();
        return Err((StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], "too many requests\n").into_response());
    }
    (guest.visit.viewer, guest.visit.zone) = (None, None);
    Ok(guest)
}

/// The account of a public page.
async fn page_of(guest: &Guest, id: &str) -> Result<(AccountId, Publication), Response> {
    let Guest { door, visit, .. } = guest;
    if id.len() > ID_CHARS_MAX {
        return Err(door.not_found(visit));
    }
    let people = &door.app.rooms.people;
    let account = people.published_page(id).await.map_err(|error| door.failed(visit, &error))?;
    let account = account.ok_or_else(|| door.not_found(visit))?;
    let public = people.publication(account).await.map_err(|error| door.failed(visit, &error))?;
    Ok((account, public.filter(|public| public.page_id == id).ok_or_else(|| door.not_found(visit))?))
}

fn state_of(guest: &Guest, account: AccountId) -> (LineState, Option<WallTime>) {
    let line = guest.door.app.rooms.lines.account_line(account);
    line.map_or((LineState::New, None), |line| match line.state {
        // One missed beat is nobody else's matter.
        LineState::Suspect => (LineState::Online, None),
        LineState::New | LineState::Online | LineState::Offline | LineState::Returning => (line.state, line.since),
    })
}

async fn outages_of(guest: &Guest, account: AccountId, most: usize) -> Result<Vec<Outage>, Response> {
    let rows = guest.door.app.rooms.log.history(account, ROWS).await;
    let rows = rows.map_err(|error| guest.door.failed(&guest.visit, &error.to_string()))?;
    Ok(outages(&rows).into_iter().take(most).collect())
}

/// Lets others keep `body` and asks them to ask again by its tag (RFC 9110 §8.8.3).
fn kept(headers: &HeaderMap, (content_type, keep): (&'static str, &'static str), body: String) -> Response {
    let digest = Sha256::digest(&body);
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(digest.get(..12).unwrap_or_default()));
    let is_known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
    });
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    answer.insert(VARY, HeaderValue::from_static("Accept-Language, Cookie"));
    // Pictures and feeds are meant for other sites.
    answer.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(ETAG, tag);
    }
    response
}

fn line(outage: &Outage, now: WallTime, l: Locale) -> OutageLine {
    let until = outage.returned_at.unwrap_or(now);
    OutageLine {
        at: format::day(outage.since, l),
        title: l.public_outage(&format::span(format::between(outage.since, until), l)),
        is_running: outage.returned_at.is_none(),
    }
}

/// `GET /s/{id}`
pub(in crate::web) async fn page(Path(id): Path<String>, guest: Guest) -> Answer {
    let guest = admitted(guest)?;
    let (account, public) = page_of(&guest, &id).await?;
    let outages = outages_of(&guest, account, OUTAGES_ON_PAGE).await?;
    let Guest { door, visit, headers, .. } = &guest;
    let (l, now) = (visit.locale, door.app.clock.wall());
    let (from, to) = days::range(now);
    let counted = door.app.rooms.log.days(account, from, to, now).await;
    let counted = counted.map_err(|error| door.failed(visit, &error.to_string()))?;
    // That an address changed is the account's own matter.
    let counted: Vec<_> = counted.into_iter().map(|day| DaySummary { address_changes: 0, ..day }).collect();
    let (state, since) = state_of(&guest, account);
    let (headline, lead, word) = l.public_state(state);
    let key = door.app.rooms.badge_key.as_ref();
    let asked = visit.ask.badge.as_deref().zip(key);
    let opened = asked.map(|(text, key)| key.opened(&public.badge_id, text));
    let genuine = opened
        .flatten()
        .map(|(state, at)| l.public_badge_true(l.public_state(state).2, &at.format("%Y-%m-%d %H:%M UTC").to_string()));
    let template = PublicTemplate {
        shell: door.shell(visit, l.public_title()),
        tone: view::badge(state, l).0,
        state: state.as_str(),
        headline,
        lead,
        word,
        since: since.map(|at| format::day(at, l)),
        outages: outages.iter().map(|outage| line(outage, now, l)).collect(),
        calendar: days::calendar(&counted, l),
        addresses: Addresses::of(&public),
        has_seal: key.is_some(),
        is_false: asked.is_some() && genuine.is_none(),
        genuine: genuine.unwrap_or_default(),
    };
    Ok(shared_page(visit, headers, &template).unwrap_or_else(|| door.page(visit, StatusCode::OK, &template)))
}

/// The page for anybody's cache; absent where it sets a choice in this browser.
fn shared_page(visit: &Visit, headers: &HeaderMap, template: &PublicTemplate) -> Option<Response> {
    let html = template.render().ok().filter(|_| visit.cookies.is_empty())?;
    Some(kept(headers, ("text/html; charset=utf-8", KEEP_STATE), html))
}

/// Colour and outline of a state on a badge.
const fn look(state: LineState) -> (&'static str, &'static str) {
    match state {
        LineState::Online | LineState::Suspect => {
            ("#14703f", "M10 14l3.500 3.500L20 10.500l1.800 1.800-8.300 8.300-5.300-5.300z")
        }
        LineState::Offline => (
            "#a5211a",
            "M9.500 11.300l1.800-1.800 3.700 3.700 3.700-3.700 1.800 1.800-3.700 3.700 3.700 3.700-1.800 1.800-3.700-3.700-3.700 3.700-1.800-1.800 3.700-3.700z",
        ),
        LineState::Returning => ("#1a52a8", "M15 8.500l6 6h-4v6h-4v-6H9z"),
        LineState::New => ("#4a5a52", "M9 13h12v3H9z"),
    }
}

/// `GET /badge/{id}.svg`
pub(in crate::web) async fn badge(Path(file): Path<String>, guest: Guest) -> Answer {
    let guest = admitted(guest)?;
    let Guest { door, visit, headers, .. } = &guest;
    let id = file.strip_suffix(".svg").filter(|id| id.len() <= ID_CHARS_MAX).ok_or_else(|| door.not_found(visit))?;
    let account = door.app.rooms.people.published_badge(id).await.map_err(|error| door.failed(visit, &error))?;
    let account = account.ok_or_else(|| door.not_found(visit))?;
    let (state, _) = state_of(&guest, account);
    // To the minute: everybody who asks within it gets the same picture.
    let now = door.app.clock.wall();
    let now = now - chrono::Duration::seconds(now.timestamp().rem_euclid(60));
    let (fill, mark) = look(state);
    let template = BadgeTemplate {
        word: visit.locale.public_state(state).2,
        fill,
        mark,
        at: now.format("%Y-%m-%d %H:%M UTC").to_string(),
        sealed: door.app.rooms.badge_key.as_ref().map(|key| key.sealed(id, state, now)).unwrap_or_default(),
        lang: visit.locale.as_str(),
    };
    let Ok(svg) = template.render() else { return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()) };
    Ok(kept(headers, ("image/svg+xml", KEEP_STATE), svg))
}

/// Names an outage for good, without saying whose it is.
fn uid(public: &Publication, outage: &Outage, hostname: &str) -> String {
    let digest = Sha256::digest(format!("{}\n{}", public.page_id, outage.since.timestamp_millis()));
    format!("{}@{hostname}", data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default()))
}

/// `GET /feed/{id}.rss` and `GET /feed/{id}.ics`
pub(in crate::web) async fn feed(Path(file): Path<String>, guest: Guest) -> Answer {
    let guest = admitted(guest)?;
    let (id, kind) = file.rsplit_once('.').unwrap_or_default();
    if !matches!(kind, "rss" | "ics") {
        return Err(guest.door.not_found(&guest.visit));
    }
    let (account, public) = page_of(&guest, id).await?;
    let outages = outages_of(&guest, account, OUTAGES_IN_FEED).await?;
    let Guest { door, visit, headers, .. } = &guest;
    let (l, now, settings) = (visit.locale, door.app.clock.wall(), &door.app.settings);
    // A calendar that changes with each second would never be the same twice.
    let now = now - chrono::Duration::seconds(now.timestamp().rem_euclid(60));
    let title = |outage: &Outage| match outage.returned_at {
        Some(end) => l.public_outage(&format::span(format::between(outage.since, end), l)),
        None => l.public_outage_now().to_owned(),
    };
    if kind == "ics" {
        let entry = |outage: &Outage| Entry {
            uid: uid(&public, outage, &settings.hostname),
            since: outage.since,
            until: outage.returned_at.unwrap_or(now).max(outage.since),
            title: title(outage),
            text: l.public_lead_offline().to_owned(),
        };
        let entries: Vec<Entry> = outages.iter().map(entry).collect();
        let text = calendar::written(l.public_title(), &entries);
        return Ok(kept(headers, ("text/calendar; charset=utf-8", KEEP_FEED), text));
    }
    let origin = settings.public_origin.clone().unwrap_or_else(|| format!("https://{}", settings.hostname));
    let item = |outage: &Outage| FeedItem {
        title: title(outage),
        text: l.public_lead_offline().to_owned(),
        at: outage.since.to_rfc2822(),
        guid: uid(&public, outage, &settings.hostname),
    };
    let template = FeedTemplate {
        lang: l.as_str(),
        title: l.public_title(),
        page: format!("{origin}{}", Addresses::of(&public).page),
        text: l.public_outages(),
        items: outages.iter().map(item).collect(),
    };
    let Ok(xml) = template.render() else { return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()) };
    Ok(kept(headers, ("application/rss+xml; charset=utf-8", KEEP_FEED), xml))
}
