//! `/a/{name}/spool` and `/a/{name}/spool/{id}`: what is held, found by state, address and age, and what happened to it.

use std::str::FromStr;

use axum::extract::Path;
use axum::http::StatusCode;
use chrono::TimeDelta;

use super::handlers::{Answer, fingerprint};
use super::page::Page;
use super::pages::{MessageTemplate, SearchForm, SpoolTemplate};
use super::request::{Ask, Door, Shown, Visit, see_other};
use super::settings::SPOOL_ROWS;
use super::spool_desk::AUDIT_ROWS;
use super::words::Locale;
use super::{format, spool_view, trace_view, verdict_view};
use crate::account::Account;
use crate::base::{SpoolId, WallTime};
use crate::liveness::LineState;
use crate::spool::{ListCursor, SearchQuery, StateFilter, Words};

/// Times of acceptance that one may look for: the word in the address, from and until, in minutes back.
const AGES: [(&str, Option<i64>, Option<i64>); 5] = [
    ("any", None, None),
    ("hour", Some(60), None),
    ("day", Some(24 * 60), None),
    ("older-day", None, Some(24 * 60)),
    ("older-week", None, Some(7 * 24 * 60)),
];

fn age_label(word: &str, l: Locale) -> &'static str {
    match word {
        "hour" => l.age_hour(),
        "day" => l.age_day(),
        "older-day" => l.age_older_day(),
        "older-week" => l.age_older_week(),
        _ => l.age_any(),
    }
}

/// What a visit looks for.
struct Search {
    word: &'static str,
    filter: StateFilter,
    typed: String,
    words: Option<Words>,
    age: &'static str,
    from: Option<WallTime>,
    until: Option<WallTime>,
    after: Option<SpoolId>,
}

impl Search {
    fn read(ask: &Ask, now: WallTime) -> Self {
        let (word, filter) = spool_view::filter(ask.filter.as_deref().unwrap_or_default());
        let typed = format::visible(ask.q.as_deref().unwrap_or_default().trim());
        let asked = ask.age.as_deref().unwrap_or_default();
        let (age, from, until) = AGES.into_iter().find(|(known, ..)| *known == asked).unwrap_or(("any", None, None));
        let back = |minutes: i64| now.checked_sub_signed(TimeDelta::minutes(minutes));
        Self {
            word,
            filter,
            words: Words::parse(&typed),
            typed,
            age,
            from: from.and_then(back),
            until: until.and_then(back),
            after: ask.after.as_deref().and_then(|id| SpoolId::from_str(id).ok()),
        }
    }

    fn is_narrowed(&self) -> bool {
        self.words.is_some() || self.age != "any"
    }

    /// As the query of an address, ended by `&` if not empty.
    fn query(&self, with_state: bool, after: Option<SpoolId>) -> String {
        let mut text = String::new();
        if with_state {
            text.push_str(&format!("filter={}&", self.word));
        }
        if !self.typed.is_empty() {
            text.push_str(&format!("q={}&", format::query_value(&self.typed)));
        }
        if self.age != "any" {
            text.push_str(&format!("age={}&", self.age));
        }
        if let Some(id) = after {
            text.push_str(&format!("after={id}&"));
        }
        text
    }
}

/// `/a/{name}/spool`
pub(super) async fn list(page: Page) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    let (l, rooms, now) = (visit.locale, &door.app.rooms, door.app.clock.wall());
    let search = Search::read(&visit.ask, now);
    // A whole id leads to its message.
    if let Ok(id) = SpoolId::from_str(&search.typed) {
        let found = rooms.spool.show(id).await.map_err(|error| page.failed(&error))?;
        if found.is_some_and(|detail| detail.row.recipients.iter().any(|r| r.account == account.id)) {
            return Ok(see_other(&format!("/a/{}/spool/{id}", account.name)));
        }
    }
    page.seen(Shown::Spool).await?;
    let query = SearchQuery {
        account: account.id,
        filter: search.filter,
        words: search.words.clone(),
        accepted_from: search.from,
        accepted_until: search.until,
        after: search.after.map(ListCursor),
        limit: SPOOL_ROWS,
    };
    let list = rooms.spool.search(query).await.map_err(|error| page.failed(&error))?;
    let usage = rooms.spool.usage(account.id);
    let sees_header = viewer.sees_header(account.id);
    let mut shell = door.account_shell(visit, account, l.spool(), "spool");
    shell.query = search.query(true, search.after);
    let (tone, icon) = spool_view::heading(usage);
    let template = SpoolTemplate {
        shell,
        tone,
        icon,
        headline: l.spool_headline(usage.waiting),
        filters: spool_view::filter_links(search.word, usage, l),
        filter: search.word,
        lines: list.rows.iter().map(|row| spool_view::line(row, sees_header, now, l)).collect(),
        sees_header,
        empty: empty(&search, list.next.is_some(), l),
        next: list.next.map(|cursor| cursor.0.to_string()),
        is_cut: list.is_cut,
        is_first: search.after.is_none() && !search.is_narrowed(),
        has_before: search.after.is_some(),
        keep: search.query(false, None),
        search: SearchForm {
            typed: search.typed.clone(),
            ages: AGES.iter().map(|(word, ..)| (*word, age_label(word, l), *word == search.age)).collect(),
            is_narrowed: search.is_narrowed(),
        },
        said: said(visit),
        may_act: viewer.may_change(account.id),
        may_retry: viewer.may_change(account.id) && usage.waiting + usage.refused > 0,
        fingerprint: fingerprint(usage, rooms.flushes.view(account.id).is_delivering),
    };
    Ok(door.page(visit, StatusCode::OK, &template))
}

fn empty(search: &Search, has_more: bool, l: Locale) -> &'static str {
    match (search.is_narrowed(), search.filter) {
        (true, _) if has_more => l.search_cut(),
        (true, _) => l.search_none(),
        (false, StateFilter::Held) => l.spool_empty_held(),
        (false, _) => l.spool_empty(),
    }
}

/// What the last button did, said on the page that it leads to.
fn said(visit: &Visit) -> String {
    let l = visit.locale;
    if visit.ask.retried.is_some() {
        return l.retry_done().to_owned();
    }
    let n = visit.ask.n.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0);
    visit.ask.done.as_deref().and_then(|word| l.deed_done(word, n)).unwrap_or_default()
}

/// `/a/{name}/spool/{id}`
pub(super) async fn message(Path((_, id)): Path<(String, String)>, page: Page) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    let (l, rooms, now) = (visit.locale, &door.app.rooms, door.app.clock.wall());
    let id = SpoolId::from_str(&id).map_err(|_| door.not_found(visit))?;
    let found = rooms.spool.show(id).await.map_err(|error| page.failed(&error))?;
    let Some(mut detail) = found else { return Err(door.not_found(visit)) };
    let of_all = detail.row.recipients.len();
    detail.row.recipients.retain(|recipient| recipient.account == account.id);
    if detail.row.recipients.is_empty() {
        return Err(door.not_found(visit));
    }
    page.seen(Shown::Message(id)).await?;
    // A ruling is of the whole message: not for one account where another one shares it.
    let is_shared = of_all != detail.row.recipients.len();
    let may_act = viewer.may_change(account.id);
    let audit = rooms.accounts.audit(Some(account.id), AUDIT_ROWS).await;
    let audit = audit.map_err(|error| page.failed(&error))?;
    let verdict = match &rooms.verdicts {
        Some(verdicts) => verdicts.verdict(id).await.map_err(|error| page.failed(&error))?,
        None => None,
    };
    let page = spool_view::message(&detail, viewer.sees_header(account.id), may_act && !is_shared, now, l);
    let template = MessageTemplate {
        shell: door.account_shell(visit, account, &format!("{} {id}", l.message()), "spool"),
        steps: trace_view::steps(&detail, &audit, is_online(door, account), now, l),
        checks: verdict.map(|verdict| verdict_view::lines(&verdict, l)).unwrap_or_default(),
        may_download: may_act && page.is_here,
        is_shared: may_act && is_shared,
        page,
        said: said(visit),
    };
    Ok(door.page(visit, StatusCode::OK, &template))
}

fn is_online(door: &Door, account: &Account) -> bool {
    let line = door.app.rooms.lines.account_line(account.id);
    line.is_some_and(|line| matches!(line.state, LineState::Online | LineState::Returning))
}
