//! What each address of the site answers.

use std::str::FromStr;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::domain_pages::LookNews;
use super::drill_pages::DrillCard;
use super::page::{Guest, Member, Page};
use super::pages::{AccountLine, AccountsTemplate, DemoCard, SignInTemplate, StatusTemplate, StepMark};
use super::request::{Button, Door, Shown, Visit, see_other};
use super::settings::{HISTORY_ROWS, SPOOL_ROWS};
use super::spool_view::{self, SpoolLine};
use super::view::{self, StatusFacts, StatusPage};
use super::words::Locale;
use super::{assets, days, format, session, sign_in};
use crate::account::{Account, AccountError, AccountStatus, Change};
use crate::base::{AccountId, SpoolId, WallTime};
use crate::liveness::HistoryRow;
use crate::spool::{ListQuery, MessageRow, RetrySelection, StateFilter, Usage};

/// Accounts on the first page, at most.
const ACCOUNTS_SHOWN_MAX: usize = 2_000;

pub(super) type Posted = Result<Form<Button>, FormRejection>;
pub(super) type Answer = Result<Response, Response>;

/// The form of a button; one that cannot be read carries no token and is refused.
pub(super) fn pressed(form: Posted) -> Button {
    form.map(|Form(button)| button).unwrap_or_default()
}

/// What a status page needs from the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    oldest_waiting: Option<WallTime>,
    history: Vec<HistoryRow>,
    /// The first page of a list, for a page that shows one.
    rows: Option<Vec<MessageRow>>,
}

/// What an open page is sent.
#[derive(Debug, Serialize)]
pub(super) struct News {
    #[serde(flatten)]
    page: StatusPage,
    #[serde(flatten)]
    drill: DrillCard,
    story: Vec<StoryLine>,
    fingerprint: String,
    spool_headline: String,
    spool_tone: &'static str,
    spool_icon: &'static str,
    count_held: String,
    count_waiting: String,
    count_refused: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<SpoolLine>>,
    /// Of looks at domains, for a page that shows them.
    #[serde(flatten)]
    pub(super) looks: Option<LookNews>,
}

#[derive(Debug, Serialize)]
struct StoryLine {
    line: String,
}

/// Changes whenever a list of held mail may look different.
pub(super) fn fingerprint(usage: Usage, is_delivering: bool) -> String {
    format!("{}-{}-{}-{is_delivering}", usage.waiting, usage.refused, usage.octets)
}

impl Door {
    /// Reads the oldest waiting message and the history of an account.
    ///
    /// # Errors
    /// The sentence for the log.
    pub(super) async fn kept(&self, account: AccountId, list: Option<StateFilter>) -> Result<Kept, String> {
        let rooms = &self.app.rooms;
        let first = |filter, limit| ListQuery { account: Some(account), filter, after: None, limit };
        let oldest = rooms.spool.list(first(StateFilter::Waiting, 1)).await.map_err(|e| e.to_string())?;
        let rows = match list {
            Some(filter) => Some(rooms.spool.list(first(filter, SPOOL_ROWS)).await.map_err(|e| e.to_string())?.rows),
            None => None,
        };
        let history = rooms.log.history(account, HISTORY_ROWS).await.map_err(|e| e.to_string())?;
        Ok(Kept { oldest_waiting: oldest.rows.first().map(|row| row.accepted_at), history, rows })
    }

    /// The status of an account in one language.
    pub(super) fn status_page(&self, account: &Account, kept: &Kept, locale: Locale) -> StatusPage {
        let rooms = &self.app.rooms;
        let directory = rooms.directory.load();
        let line = rooms.lines.account_line(account.id);
        let flush = rooms.flushes.view(account.id);
        let speaking = line.as_ref().and_then(|line| directory.endpoint(line.endpoint));
        let endpoint = speaking.or_else(|| directory.endpoints_of(account.id).first().copied());
        let hosts: Vec<_> = directory.endpoints_of(account.id).into_iter().map(|e| e.host.clone()).collect();
        let served = directory.domains_of(account.id);
        let domains: Vec<String> = served
            .iter()
            .filter(|domain| !hosts.contains(&domain.name))
            .map(|domain| domain.name.to_string())
            .collect();
        let updates = rooms.updates.as_ref().map(|updates| updates.account(account.id));
        view::status(&StatusFacts {
            now: self.app.clock.wall(),
            locale,
            account: account.name.as_str(),
            domains: &domains,
            endpoint,
            line: line.as_ref(),
            families: line.as_ref().map(|line| rooms.lines.families(line.endpoint)).unwrap_or_default(),
            usage: rooms.spool.usage(account.id),
            oldest_waiting: kept.oldest_waiting,
            flush: &flush,
            history: &kept.history,
            updates: updates.as_ref(),
            holiday_until: directory.preferences(account.id).holiday.map(|holiday| holiday.until),
        })
    }

    /// The status with what only an open page needs.
    pub(super) fn news(&self, account: &Account, kept: &Kept, sees_header: bool, locale: Locale) -> News {
        let rooms = &self.app.rooms;
        let demo = self.app.settings.demo_controls.as_ref();
        let (usage, now) = (rooms.spool.usage(account.id), self.app.clock.wall());
        let (spool_tone, spool_icon) = spool_view::heading(usage);
        let line = |row| spool_view::line(row, sees_header, now, locale);
        News {
            page: self.status_page(account, kept, locale),
            drill: self.drill_card(account, None, locale),
            story: demo.map(|d| d.story().into_iter().map(|line| StoryLine { line }).collect()).unwrap_or_default(),
            fingerprint: fingerprint(usage, rooms.flushes.view(account.id).is_delivering),
            spool_headline: locale.spool_headline(usage.waiting),
            spool_tone,
            spool_icon,
            count_held: format::count(usage.waiting + usage.refused, locale),
            count_waiting: format::count(usage.waiting, locale),
            count_refused: format::count(usage.refused, locale),
            lines: kept.rows.as_ref().map(|rows| rows.iter().map(line).collect()),
            looks: None,
        }
    }

    async fn status_answer(&self, visit: &Visit, account: &Account) -> Answer {
        let l = visit.locale;
        let kept = self.kept(account.id, None).await.map_err(|error| self.failed(visit, &error))?;
        let now = self.app.clock.wall();
        let (from, to) = days::range(now);
        let counted = self.app.rooms.log.days(account.id, from, to, now).await;
        let calendar = days::calendar(&counted.map_err(|error| self.failed(visit, &error.to_string()))?, l);
        let page = self.status_page(account, &kept, l);
        let mut shell = self.shell(visit, page.title.clone());
        shell.account = account.name.to_string();
        shell.section = "status";
        (shell.held, shell.held_count) = (page.held, page.held_count.clone());
        let steps = [l.step_online(), l.step_missed_1(), l.step_missed_2(), l.step_offline(), l.step_delivering()];
        let steps = (0..).zip(steps).map(|(n, label)| StepMark { label, is_current: page.step == Some(n) }).collect();
        let demo = self.app.settings.demo_controls.as_ref();
        let drill = self.drill_card(account, visit.viewer.as_ref(), l);
        let demo = demo.map(|demo| DemoCard { buttons: demo.buttons(), story: demo.story() });
        Ok(self.page(visit, StatusCode::OK, &StatusTemplate { shell, page, steps, demo, drill, calendar }))
    }

    fn accounts_answer(&self, visit: &Visit, accounts: &[Account]) -> Response {
        let (l, rooms, now) = (visit.locale, &self.app.rooms, self.app.clock.wall());
        let accounts = accounts
            .iter()
            .take(ACCOUNTS_SHOWN_MAX)
            .map(|account| {
                let line = rooms.lines.account_line(account.id);
                let usage = rooms.spool.usage(account.id);
                let (tone, state) = view::badge(line.as_ref().map_or(crate::liveness::LineState::New, |l| l.state), l);
                let since = line.and_then(|line| line.since);
                let number =
                    |n, word: &str| if n == 0 { String::new() } else { format!("{} {word}", format::count(n, l)) };
                AccountLine {
                    name: account.name.to_string(),
                    tone,
                    state,
                    span: since.map(|at| format::span(format::between(at, now), l)).unwrap_or_default(),
                    since: since.map(|at| at.timestamp_millis()),
                    held: number(usage.waiting, l.filter_waiting()),
                    refused: number(usage.refused, l.filter_refused()),
                }
            })
            .collect();
        self.page(visit, StatusCode::OK, &AccountsTemplate { shell: self.shell(visit, l.accounts()), accounts })
    }

    pub(super) fn change(&self, who: &str) -> Change {
        Change { at: self.app.clock.wall(), who: who.to_owned() }
    }
}

/// `/`: the only account of the person, or the list of all.
pub(super) async fn home(Member { door, visit, viewer, .. }: Member) -> Answer {
    let directory = door.app.rooms.directory.load();
    let own: Vec<Account> =
        directory.accounts().into_iter().filter(|account| viewer.may_open(account.id)).cloned().collect();
    match own.as_slice() {
        [only] if !viewer.person.is_operator => door.status_answer(&visit, only).await,
        several => Ok(door.accounts_answer(&visit, several)),
    }
}

/// `/spool` and `/events` without an account: those of the only one.
pub(super) async fn shortcut(Member { door, viewer, .. }: Member, uri: Uri) -> Answer {
    let directory = door.app.rooms.directory.load();
    let mut own = viewer.places.iter().filter_map(|place| directory.account(place.account));
    match (own.next(), own.next()) {
        (Some(only), None) => Ok(see_other(&format!("/a/{}{}", only.name, uri.path()))),
        _ => Ok(see_other("/")),
    }
}

/// `/a/{name}`
pub(super) async fn status(page: Page) -> Answer {
    let Page { door, visit, account, .. } = &page;
    page.seen(Shown::Status).await?;
    door.status_answer(visit, account).await
}

/// `POST /a/{name}/retry`: everything of the account.
pub(super) async fn retry_all(page: Page, form: Posted) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    page.check(&pressed(form))?;
    if !viewer.may_change(account.id) {
        return Err(door.forbidden(visit));
    }
    retry(door, visit, account, &viewer.person.name, RetrySelection::Account(account.id)).await?;
    Ok(see_other(&format!("/a/{}/spool?retried=1", account.name)))
}

/// `POST /a/{name}/spool/{id}/retry`: one message.
pub(super) async fn retry_one(Path((_, id)): Path<(String, String)>, page: Page, form: Posted) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    page.check(&pressed(form))?;
    if !viewer.may_change(account.id) {
        return Err(door.forbidden(visit));
    }
    let id = SpoolId::from_str(&id).map_err(|_| door.not_found(visit))?;
    let found = door.app.rooms.spool.show(id).await.map_err(|error| door.failed(visit, &error))?;
    let is_own = |r: &crate::spool::RecipientRow| r.account == account.id;
    if !found.is_some_and(|detail| detail.row.recipients.iter().all(is_own)) {
        return Err(door.not_found(visit));
    }
    retry(door, visit, account, &viewer.person.name, RetrySelection::Message(id)).await?;
    Ok(see_other(&format!("/a/{}/spool/{id}?retried=1", account.name)))
}

async fn retry(door: &Door, visit: &Visit, account: &Account, who: &str, what: RetrySelection) -> Result<(), Response> {
    let rooms = &door.app.rooms;
    let queued = rooms.spool.retry(what, door.change(who)).await.map_err(|error| door.failed(visit, &error))?;
    tracing::info!(account = %account.name, queued, "a person asked for another try");
    if account.status != AccountStatus::Suspended {
        rooms.flushes.retry(account.id);
    }
    door.app.hub.ring(account.id);
    Ok(())
}

/// `POST /a/{name}/demo/{id}`
pub(super) async fn demo(Path((_, id)): Path<(String, String)>, page: Page, form: Posted) -> Answer {
    let Page { door, visit, account, .. } = &page;
    page.check(&pressed(form))?;
    let Some(controls) = &door.app.settings.demo_controls else { return Err(door.not_found(visit)) };
    controls.press(&id);
    door.app.hub.ring(account.id);
    Ok(see_other(&format!("/a/{}#demo", account.name)))
}

/// `GET /sign-in/{secret}`: one button. Only the POST uses the link up, so that previews in mail programs do not.
pub(super) async fn sign_in_page(Path(secret): Path<String>, Guest { door, visit, .. }: Guest) -> Answer {
    if sign_in::secret_hash(&secret).is_none() {
        return Err(door.link_spent(&visit));
    }
    let shell = door.shell(&visit, visit.locale.sign_in());
    Ok(door.page(&visit, StatusCode::OK, &SignInTemplate { shell, secret }))
}

/// `POST /sign-in/{secret}`
pub(super) async fn sign_in_redeem(Path(secret): Path<String>, guest: Guest) -> Answer {
    let Guest { door, visit, headers, .. } = guest;
    if !door.provenance(&headers).is_own_page(door.scheme) {
        return Err(door.forbidden(&visit));
    }
    let link = sign_in::secret_hash(&secret).ok_or_else(|| door.link_spent(&visit))?;
    let (session_secret, session_hash) = sign_in::new_secret().map_err(|error| door.failed(&visit, &error))?;
    let (now, lifetime) = (door.app.clock.wall(), door.app.settings.session_lifetime);
    let ends_at = session::ends_at(now, lifetime);
    match door.app.rooms.accounts.redeem_link(link, session_hash, ends_at, now).await {
        Ok(person) => {
            tracing::info!(%person, "a person signed in");
            let mut response = see_other("/");
            set_cookie(&mut response, &session::session_cookie(door.scheme, &session_secret, lifetime));
            Ok(response)
        }
        Err(AccountError::LinkSpent) => Err(door.link_spent(&visit)),
        Err(error) => Err(door.failed(&visit, &error)),
    }
}

/// `POST /sign-out`
pub(super) async fn sign_out(Guest { door, visit, headers, .. }: Guest, form: Posted) -> Answer {
    door.check_button(&visit, &headers, &pressed(form))?;
    if let Some(hash) = visit.viewer.as_ref().and_then(|viewer| sign_in::secret_hash(&viewer.secret)) {
        door.app.rooms.accounts.end_session(hash).await.map_err(|error| door.failed(&visit, &error))?;
    }
    let mut response = see_other("/");
    set_cookie(&mut response, &session::ended_session_cookie(door.scheme));
    Ok(response)
}

pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// `/assets/...`
pub(super) async fn asset(uri: Uri) -> Response {
    match assets::find(uri.path()) {
        Some(asset) => {
            let headers = [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.octets).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `/healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `/ready`: all parts work, or which do not.
pub(super) async fn ready(State(door): State<Door>) -> Response {
    let missing = door.app.rooms.readiness.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", missing.join("\n"))).into_response()
}

/// Any other address.
pub(super) async fn nowhere(Guest { door, visit, .. }: Guest) -> Response {
    door.not_found(&visit)
}
