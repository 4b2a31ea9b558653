//! One request: who asks, what may they see, which page answers. Holds no socket.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use askama::Template;
use axum::extract::Query;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use chrono_tz::Tz;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::beat::limit::Limits;
use super::driver::WebRooms;
use super::live::driver::Hub;
use super::looks::driver::Looks;
use super::pace::Pace;
use super::pages::{NoticeTemplate, Shell};
use super::passkey::Awaited;
use super::password::driver::Passwords;
use super::public::Guests;
use super::session::{self, Provenance, Scheme};
use super::settings::Settings;
use super::sign_in;
use super::token_page::Reveals;
use super::words::Locale;
use super::{assets, format};
use crate::account::people::{AGENT_CHARS_MAX, SESSION_SEEN_EVERY};
use crate::account::{Account, AccountError, Change, Membership, Person, Role, Seen};
use crate::base::{AccountId, Clock, SpoolId, WallTime};

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Everything the handlers share.
pub(super) struct App {
    pub(super) settings: Settings,
    pub(super) rooms: WebRooms,
    pub(super) hub: Arc<Hub>,
    /// Shared by all listeners.
    pub(super) beat_limits: Arc<Mutex<Limits>>,
    pub(super) alert_tests: Mutex<Pace>,
    pub(super) join_codes: Mutex<Pace>,
    pub(super) passwords: Passwords,
    pub(super) reveals: Mutex<Reveals>,
    /// Keys of new webhooks.
    pub(super) webhook_keys: Mutex<Reveals<Zeroizing<String>>>,
    pub(super) looks: Looks,
    pub(super) passkeys: Mutex<Awaited>,
    /// Who asks for what is public.
    pub(super) guests: Mutex<Guests>,
    pub(super) clock: Clock,
}

/// The same with the way in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Arc<App>,
    pub(super) scheme: Scheme,
}

/// What an address may ask for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Ask {
    pub(super) lang: Option<String>,
    pub(super) theme: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) after: Option<String>,
    pub(super) retried: Option<String>,
    /// Words of a search.
    pub(super) q: Option<String>,
    /// Time of acceptance.
    pub(super) age: Option<String>,
    /// What was done, and to how many.
    pub(super) done: Option<String>,
    pub(super) n: Option<String>,
    /// The seal of a badge that is to be checked.
    pub(super) badge: Option<String>,
    /// The domain for which a set-up is to be proposed.
    pub(super) domain: Option<String>,
    /// News of looks at domains are wanted.
    pub(super) look: Option<String>,
}

/// A query that cannot be read asks for nothing.
pub(super) type AskResult = Result<Query<Ask>, axum::extract::rejection::QueryRejection>;

/// The form of our buttons.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Button {
    #[serde(default)]
    pub(super) csrf: String,
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) person: Person,
    pub(super) places: Vec<Membership>,
    pub(super) secret: String,
    /// When the session was used before, as far as that was written down.
    pub(super) seen_at: Option<WallTime>,
}

impl Viewer {
    pub(super) fn role(&self, account: AccountId) -> Option<Role> {
        self.places.iter().find(|place| place.account == account).map(|place| place.role)
    }

    pub(super) fn may_open(&self, account: AccountId) -> bool {
        self.person.is_operator || self.role(account).is_some()
    }

    /// Subject and header fields are the customer's alone.
    pub(super) fn sees_header(&self, account: AccountId) -> bool {
        self.role(account).is_some()
    }

    /// Whether this is the operator looking into the account of others.
    pub(super) fn is_foreign_to(&self, account: AccountId) -> bool {
        self.person.is_operator && self.role(account).is_none()
    }

    /// Whether the viewer may change an account or what becomes of its mail.
    pub(super) fn may_change(&self, account: AccountId) -> bool {
        self.role(account) >= Some(Role::Technician)
    }
}

/// What an operator saw of the account of others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Status,
    Spool,
    Message(SpoolId),
    Log,
    Domains,
    Alerts,
    Setup,
    Tokens,
}

/// One visit with the reader's language and look.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) locale: Locale,
    /// The zone that the person chose; absent: as the browser says.
    pub(super) zone: Option<Tz>,
    pub(super) theme: &'static str,
    pub(super) cookies: Vec<String>,
    pub(super) viewer: Option<Viewer>,
    pub(super) ask: Ask,
    is_foreign: bool,
}

fn theme(word: &str) -> Option<&'static str> {
    match word {
        "light" => Some("light"),
        "dark" => Some("dark"),
        _ => None,
    }
}

fn text(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Door {
    /// Reads language, look and session.
    ///
    /// # Errors
    /// The page to answer with when the store fails.
    pub(super) async fn visit(&self, headers: &HeaderMap, ask: AskResult) -> Result<Visit, Response> {
        let ask = ask.map(|Query(ask)| ask).unwrap_or_default();
        let jar = text(headers, COOKIE).unwrap_or_default();
        let asked_lang = ask.lang.as_deref().and_then(Locale::parse);
        let kept_lang = || session::cookie(jar, "lang").and_then(Locale::parse);
        let accepted = || text(headers, ACCEPT_LANGUAGE).and_then(Locale::accepted);
        let asked_theme = ask.theme.as_deref().and_then(theme);
        let kept_theme = || session::cookie(jar, "theme").and_then(theme);
        let mut visit = Visit {
            locale: asked_lang.or_else(kept_lang).or_else(accepted).unwrap_or_default(),
            zone: None,
            theme: asked_theme.or_else(kept_theme).unwrap_or_default(),
            cookies: Vec::new(),
            viewer: None,
            is_foreign: self.provenance(headers).is_foreign_link(),
            ask,
        };
        if let Some(locale) = asked_lang {
            visit.cookies.push(session::choice_cookie(self.scheme, "lang", locale.as_str()));
        }
        if let Some(theme) = asked_theme {
            visit.cookies.push(session::choice_cookie(self.scheme, "theme", theme));
        }
        match self.viewer(jar).await {
            Ok(viewer) => visit.viewer = viewer,
            Err(error) => return Err(self.failed(&visit, &error)),
        }
        if let Some(viewer) = &visit.viewer {
            let chosen = self.app.rooms.people.choice_of(viewer.person.id).await;
            let chosen = chosen.map_err(|error| self.failed(&visit, &error))?;
            visit.zone = chosen.zone;
            // What was asked for in this browser goes before what was chosen once.
            if let Some(tongue) = chosen.tongue.filter(|_| asked_lang.or_else(kept_lang).is_none()) {
                visit.locale = Locale::of(tongue);
            }
        }
        Ok(visit)
    }

    /// Who asks: the peer of the connection; behind a proxy of ours, which is on loopback, whom that one names last.
    pub(super) fn asker(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_proxy = peer.is_loopback() && self.scheme == Scheme::Https && self.app.settings.public_origin.is_some();
        let named = || {
            headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        };
        if is_proxy { named().unwrap_or(peer) } else { peer }
    }

    /// Writes down now and then how a session is used. A page does not fail because that failed.
    pub(super) async fn see_session(&self, visit: &Visit, headers: &HeaderMap, peer: IpAddr) {
        let Some(viewer) = &visit.viewer else { return };
        let now = self.app.clock.wall();
        if viewer.seen_at.is_some_and(|at| format::between(at, now) < SESSION_SEEN_EVERY && at <= now) {
            return;
        }
        let Some(session) = sign_in::secret_hash(&viewer.secret) else { return };
        let agent = text(headers, USER_AGENT).unwrap_or_default().chars().take(AGENT_CHARS_MAX).collect();
        if let Err(error) = self.app.rooms.people.see_session(session, Seen { at: now, agent, address: peer }).await {
            tracing::warn!(%error, "the use of a session is not written down");
        }
    }

    /// The person of the session cookie.
    pub(super) async fn viewer(&self, jar: &str) -> Result<Option<Viewer>, AccountError> {
        let Some(secret) = session::cookie(jar, self.scheme.session_cookie()) else { return Ok(None) };
        let Some(hash) = sign_in::secret_hash(secret) else { return Ok(None) };
        let store = &self.app.rooms.accounts;
        let Some(found) = store.session(hash, self.app.clock.wall()).await? else { return Ok(None) };
        let Some((person, places)) = store.person(found.person).await? else { return Ok(None) };
        Ok(Some(Viewer { person, places, secret: secret.to_owned(), seen_at: found.seen_at }))
    }

    pub(super) fn provenance<'a>(&'a self, headers: &'a HeaderMap) -> Provenance<'a> {
        Provenance {
            origin: text(headers, ORIGIN),
            fetch_site: text(headers, HeaderName::from_static("sec-fetch-site")),
            host: text(headers, HOST),
            public_origin: self.app.settings.public_origin.as_deref(),
        }
    }

    /// The viewer and the account of that name, if this viewer may open it.
    ///
    /// # Errors
    /// The page to answer with: not signed in, or no such page. An account of others is no such page.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
    pub(super) fn account(&self, visit: &Visit, name: &str) -> Result<(Viewer, Account), Response> {
        let Some(viewer) = visit.viewer.clone() else { return Err(self.signed_out(visit)) };
        let directory = self.app.rooms.directory.load();
        match directory.account_named(name).filter(|account| viewer.may_open(account.id)) {
            Some(account) => Ok((viewer, account.clone())),
            None => Err(self.not_found(visit)),
        }
    }

    /// Whether a POST was made by a button of ours in this session.
    ///
    /// # Errors
    /// The page that refuses it.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
    pub(super) fn check_button(&self, visit: &Visit, headers: &HeaderMap, button: &Button) -> Result<(), Response> {
        let has_token = visit.viewer.as_ref().is_some_and(|v| session::is_form_token(&button.csrf, &v.secret));
        if has_token && self.provenance(headers).is_own_page(self.scheme) {
            return Ok(());
        }
        Err(self.forbidden(visit))
    }

    /// What surrounds a page.
    pub(super) fn shell(&self, visit: &Visit, title: impl Into<String>) -> Shell {
        let viewer = visit.viewer.as_ref();
        Shell {
            l: visit.locale,
            zone: visit.zone,
            theme: visit.theme,
            title: title.into(),
            css: &assets::STYLE.path,
            script: &assets::SCRIPT.path,
            icon: &assets::ICON.path,
            hostname: self.app.settings.hostname.clone(),
            person: viewer.map(|v| v.person.name.clone()).unwrap_or_default(),
            csrf: viewer.map(|v| session::form_token(&v.secret)).unwrap_or_default(),
            account: String::new(),
            has_several: viewer.is_some_and(|v| v.person.is_operator || v.places.len() > 1),
            section: "",
            held: 0,
            held_count: String::new(),
            query: String::new(),
            asks_again: false,
        }
    }

    /// What surrounds a page of an account.
    pub(super) fn account_shell(&self, visit: &Visit, account: &Account, title: &str, section: &'static str) -> Shell {
        let mut shell = self.shell(visit, format!("{title}: {}", account.name));
        shell.account = account.name.to_string();
        shell.section = section;
        shell.held = self.app.rooms.spool.usage(account.id).waiting;
        shell.held_count = format::count(shell.held, visit.locale);
        shell
    }

    /// Writes into the account's audit log that the operator looked, before anything is shown. The customer's own
    /// people leave no trace by looking.
    ///
    /// # Errors
    /// The page to answer with: what cannot be noted is not shown.
    pub(super) async fn seen(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        account: AccountId,
        shown: Shown,
    ) -> Result<(), Response> {
        if !viewer.is_foreign_to(account) {
            return Ok(());
        }
        let what = match shown {
            Shown::Status => "look.status".to_owned(),
            Shown::Spool => "look.spool".to_owned(),
            Shown::Message(id) => format!("look.message {id}"),
            Shown::Log => "look.log".to_owned(),
            Shown::Domains => "look.domains".to_owned(),
            Shown::Alerts => "look.alerts".to_owned(),
            Shown::Setup => "look.setup".to_owned(),
            Shown::Tokens => "look.tokens".to_owned(),
        };
        let change = Change { at: self.app.clock.wall(), who: viewer.person.name.clone() };
        let noted = self.app.rooms.accounts.note_of(account, what, change).await;
        noted.map_err(|error| self.failed(visit, &error))
    }

    /// A finished page.
    pub(super) fn page(&self, visit: &Visit, status: StatusCode, template: &impl Template) -> Response {
        let Ok(html) = template.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let mut response = (status, Html(html)).into_response();
        for cookie in &visit.cookies {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                response.headers_mut().append(SET_COOKIE, value);
            }
        }
        response
    }

    fn notice(
        &self,
        visit: &Visit,
        status: StatusCode,
        heading: &'static str,
        text: &'static str,
        command: &'static str,
    ) -> Response {
        let mut shell = self.shell(visit, heading);
        shell.asks_again = status == StatusCode::UNAUTHORIZED && visit.is_foreign;
        let takes_password = status == StatusCode::UNAUTHORIZED;
        self.page(visit, status, &NoticeTemplate { shell, heading, text, command, takes_password })
    }

    pub(super) fn signed_out(&self, visit: &Visit) -> Response {
        let l = visit.locale;
        let command = "pulsemx account link NAME";
        self.notice(visit, StatusCode::UNAUTHORIZED, l.signed_out_title(), l.signed_out_text(), command)
    }

    pub(super) fn not_found(&self, visit: &Visit) -> Response {
        let l = visit.locale;
        self.notice(visit, StatusCode::NOT_FOUND, l.not_found_title(), l.not_found_text(), "")
    }

    pub(super) fn forbidden(&self, visit: &Visit) -> Response {
        let l = visit.locale;
        self.notice(visit, StatusCode::FORBIDDEN, l.forbidden_title(), l.forbidden_text(), "")
    }

    pub(super) fn link_spent(&self, visit: &Visit) -> Response {
        let l = visit.locale;
        let command = "pulsemx account link NAME";
        self.notice(visit, StatusCode::GONE, l.sign_in_spent_title(), l.sign_in_spent_text(), command)
    }

    /// The store failed: says so, and that mail is not affected.
    pub(super) fn failed(&self, visit: &Visit, error: &dyn std::fmt::Display) -> Response {
        tracing::error!(%error, "a page could not be made");
        let l = visit.locale;
        self.notice(visit, StatusCode::SERVICE_UNAVAILABLE, l.trouble_title(), l.trouble_text(), "")
    }
}

/// `303 See Other`, so that a reload does not post again.
pub(super) fn see_other(target: &str) -> Response {
    let location = HeaderValue::from_str(target).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// Puts the headers on that every answer carries.
///
/// `Referrer-Policy` is `same-origin` and not `no-referrer`: with the latter, browsers send `Origin: null` with our own
/// forms, and those without `Sec-Fetch-Site` could not post any more. Nothing leaves this host either way.
pub(super) async fn hardened(mut response: Response) -> Response {
    const HEADERS: [(&str, &str); 6] = [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // What is public says so itself.
    headers.entry(CORP).or_insert(HeaderValue::from_static("same-origin"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
