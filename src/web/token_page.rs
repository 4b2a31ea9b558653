//! `/a/{name}/tokens`: tokens of the API are listed, made, renewed and revoked here. A secret is shown once: the answer to a
//! form leads to a page that takes it out of memory, so that a reload or the way back shows it to nobody.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Form;
use axum::extract::Path;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::Response;

use super::format::{self, Stamp};
use super::handlers::{Answer, Posted, pressed};
use super::page::Page;
use super::pages::{AlertChoice, TokenForm, TokenLine, TokensTemplate};
use super::request::{Button, Shown, see_other};
use super::words::Locale;
use crate::account::api_token::TokenText;
use crate::account::token_office::OVERLAP;
use crate::account::{ApiToken, ApiTokenError, ApiTokenId, ApiTokens, Grantor, NewApiToken, Scope, Scopes};
use crate::base::{AccountId, Moment, WallTime};

/// How long a new secret waits in memory for the page that shows it.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
/// Secrets that wait, at most; one more is not shown, and its token is renewed once more.
const WAITING_MAX: usize = 256;
/// Validity that the form offers, in days; 0 for no end.
const VALID_DAYS: [u64; 4] = [30, 90, 365, 0];
/// Overlaps that the form offers, in hours.
const OVERLAP_HOURS: [u64; 4] = [0, 1, 24, 7 * 24];

type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

/// Secrets on their way to the one page that shows them: that of the session which made them.
pub(super) struct Reveals<T = TokenText>(HashMap<(String, AccountId, String), (Moment, T)>);

impl<T> Default for Reveals<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Reveals<T> {
    pub(super) fn keep(&mut self, session: &str, (account, id): (AccountId, String), text: T, now: Moment) {
        self.0.retain(|_, (since, _)| now.since(*since) < SHOWN_WITHIN);
        if self.0.len() < WAITING_MAX {
            self.0.insert((session.to_owned(), account, id), (now, text));
        }
    }

    /// Takes a secret out: the second one who asks gets nothing.
    pub(super) fn take(&mut self, session: &str, account: AccountId, id: &str, now: Moment) -> Option<T> {
        let (since, text) = self.0.remove(&(session.to_owned(), account, id.to_owned()))?;
        (now.since(since) < SHOWN_WITHIN).then_some(text)
    }
}

/// The form as it came.
struct Wish {
    csrf: String,
    label: String,
    scopes: Scopes,
    valid_days: u64,
}

impl Wish {
    /// What the form offers to begin with.
    fn ordinary() -> Self {
        let scopes = Scopes::from_iter([Scope::Status]);
        Self { csrf: String::new(), label: String::new(), scopes, valid_days: 90 }
    }

    fn read(form: Fields) -> Self {
        let mut wish = Self { scopes: Scopes::default(), ..Self::ordinary() };
        let mut scopes = Vec::new();
        for (name, value) in form.map(|Form(fields)| fields).unwrap_or_default() {
            match name.as_str() {
                "csrf" => wish.csrf = value,
                "label" => wish.label = value,
                "scope" => scopes.extend(value.parse::<Scope>()),
                "valid" => wish.valid_days = offered(&VALID_DAYS, &value, wish.valid_days),
                _ => {}
            }
        }
        Self { scopes: scopes.into_iter().collect(), ..wish }
    }

    fn shown(&self, wrong: String, l: Locale) -> TokenForm {
        let choice = |value: String, label: String, is_chosen| AlertChoice { value, label, is_chosen };
        let valid = |days: u64| choice(days.to_string(), l.token_valid(days), days == self.valid_days);
        let scope =
            |scope: Scope| choice(scope.as_str().to_owned(), l.scope_means(scope).to_owned(), self.scopes.has(scope));
        TokenForm {
            wrong,
            label: format::visible(&self.label),
            scopes: Scope::ALL.map(scope).into(),
            valid: VALID_DAYS.map(valid).into(),
        }
    }
}

fn offered(all: &[u64], value: &str, otherwise: u64) -> u64 {
    all.iter().copied().find(|known| known.to_string() == value).unwrap_or(otherwise)
}

fn office(page: &Page) -> Result<&Arc<ApiTokens>, Box<Response>> {
    page.door.app.rooms.tokens.as_ref().ok_or_else(|| Box::new(page.door.not_found(&page.visit)))
}

#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
fn shown(page: &Page, status: StatusCode, wish: &Wish, wrong: String, secret: Option<TokenText>) -> Answer {
    let l = page.visit.locale;
    let tokens = office(page).map_err(|answer| *answer)?;
    let now = page.door.app.clock.wall();
    let said = match page.visit.ask.done.as_deref().filter(|_| wrong.is_empty()) {
        Some("made") if secret.is_none() => l.token_made(),
        Some("renewed") if secret.is_none() => l.token_renewed(),
        Some("revoked") => l.token_revoked(),
        _ => "",
    };
    let overlap = |hours: u64| AlertChoice {
        value: hours.to_string(),
        label: l.token_overlap(hours),
        is_chosen: Duration::from_secs(hours * 3_600) == OVERLAP,
    };
    let template = TokensTemplate {
        shell: page.door.account_shell(&page.visit, &page.account, l.tokens(), "tokens"),
        tokens: tokens.list(Some(page.account.id)).iter().map(|token| line(token, now, l)).collect(),
        may_act: page.may_change(),
        form: wish.shown(wrong, l),
        overlaps: OVERLAP_HOURS.map(overlap).into(),
        said,
        secret: secret.map(|text| text.as_str().to_owned()),
    };
    Ok(page.door.page(&page.visit, status, &template))
}

/// `GET /a/{name}/tokens`
pub(super) async fn list(page: Page) -> Answer {
    page.seen(Shown::Tokens).await?;
    let app = &page.door.app;
    let secret = page.visit.ask.n.as_deref().and_then(|id| {
        let mut reveals = app.reveals.lock().unwrap_or_else(PoisonError::into_inner);
        reveals.take(&page.viewer.secret, page.account.id, id, app.clock.monotonic())
    });
    shown(&page, StatusCode::OK, &Wish::ordinary(), String::new(), secret)
}

/// Leads to the page that shows the secret.
fn reveal(page: &Page, made: crate::account::FreshApiToken, done: &str) -> Response {
    let app = &page.door.app;
    let mut reveals = app.reveals.lock().unwrap_or_else(PoisonError::into_inner);
    let target = format!("/a/{}/tokens?done={done}&n={}", page.account.name, made.token.id);
    let of = (made.token.account, made.token.id.to_string());
    reveals.keep(&page.viewer.secret, of, made.text, app.clock.monotonic());
    see_other(&target)
}

/// What went wrong, as a page: a sentence at the form, no such page, or the store's fault.
#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
fn failed(page: &Page, error: &ApiTokenError, wish: &Wish) -> Answer {
    match error {
        ApiTokenError::Engine(_) | ApiTokenError::NoRandomness => Err(page.failed(error)),
        ApiTokenError::NoToken(_) | ApiTokenError::NoAccount => Err(page.door.not_found(&page.visit)),
        ApiTokenError::Label
        | ApiTokenError::NoScope
        | ApiTokenError::Full(_)
        | ApiTokenError::Expired
        | ApiTokenError::NotYours(_) => {
            let wrong = page.visit.locale.token_error(error);
            shown(page, StatusCode::UNPROCESSABLE_ENTITY, wish, wrong, None)
        }
    }
}

/// `POST /a/{name}/tokens`: one more.
pub(super) async fn make(page: Page, form: Fields) -> Answer {
    let wish = Wish::read(form);
    page.check_change(&Button { csrf: wish.csrf.clone() })?;
    let tokens = office(&page).map_err(|answer| *answer)?;
    let change = page.change();
    let end = change.at + Duration::from_secs(wish.valid_days * 86_400);
    let new = NewApiToken {
        account: page.account.id,
        label: wish.label.clone(),
        scopes: wish.scopes,
        expires_at: (wish.valid_days > 0).then_some(end),
    };
    match tokens.make(new, Grantor::Member, change).await {
        Ok(made) => {
            tracing::info!(account = %page.account.name, token = %made.token.id, "a person made a token of the API");
            Ok(reveal(&page, made, "made"))
        }
        Err(error) => failed(&page, &error, &wish),
    }
}

/// The form of a renewal.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Renewal {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    overlap: String,
}

fn id_of(page: &Page, id: &str) -> Result<ApiTokenId, Box<Response>> {
    id.parse().map_err(|_| Box::new(page.door.not_found(&page.visit)))
}

/// `POST /a/{name}/tokens/{id}/renew`
pub(super) async fn renew(
    Path((_, id)): Path<(String, String)>,
    page: Page,
    form: Result<Form<Renewal>, FormRejection>,
) -> Answer {
    let Renewal { csrf, overlap } = form.map(|Form(form)| form).unwrap_or_default();
    page.check_change(&Button { csrf })?;
    let id = id_of(&page, &id).map_err(|answer| *answer)?;
    let tokens = office(&page).map_err(|answer| *answer)?;
    let overlap = Duration::from_secs(offered(&OVERLAP_HOURS, &overlap, 24) * 3_600);
    match tokens.rotate(page.account.id, &id, overlap, Grantor::Member, page.change()).await {
        Ok(made) => Ok(reveal(&page, made, "renewed")),
        Err(error) => failed(&page, &error, &Wish::ordinary()),
    }
}

/// `POST /a/{name}/tokens/{id}/revoke`
pub(super) async fn revoke(Path((_, id)): Path<(String, String)>, page: Page, form: Posted) -> Answer {
    page.check_change(&pressed(form))?;
    let id = id_of(&page, &id).map_err(|answer| *answer)?;
    let tokens = office(&page).map_err(|answer| *answer)?;
    match tokens.revoke(page.account.id, &id, page.change()).await {
        Ok(()) => Ok(see_other(&format!("/a/{}/tokens?done=revoked", page.account.name))),
        Err(error) => failed(&page, &error, &Wish::ordinary()),
    }
}

fn line(token: &ApiToken, now: WallTime, l: Locale) -> TokenLine {
    let stamp = |at: Option<WallTime>| -> Option<Stamp> { at.map(|at| format::day(at, l)) };
    let is_expired = token.is_expired(now);
    let tone = match (is_expired, token.last_used_at) {
        (true, _) => "off",
        (false, Some(_)) => "ok",
        (false, None) => "none",
    };
    TokenLine {
        id: token.id.to_string(),
        tone,
        label: format::visible(&token.label),
        scopes: token.scopes.iter().map(|scope| l.scope_means(scope)).collect::<Vec<_>>().join(" · "),
        made: l.token_made_by(&format::visible(&token.made_by)),
        made_at: format::day(token.created_at, l),
        last_used: stamp(token.last_used_at),
        expires: stamp(token.expires_at),
        is_expired,
        old_until: stamp(token.old.map(|(_, until)| until).filter(|until| *until > now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_shown_once_and_only_to_the_session_that_made_it() {
        let store = Arc::new(crate::store::MemoryStore::new());
        let account = crate::account::NewAccount {
            name: "firma".parse().unwrap(),
            host: crate::base::DomainName::parse("firma.dyn.example").unwrap(),
            smtp_port: 25,
            domains: Vec::new(),
            key: crate::account::BeatKeyRecord {
                endpoint: crate::base::EndpointId(0),
                locator: [1; 8],
                sealed_mac_keys: vec![1],
                move_key: [1; 32],
                bearer_verifier: [1; 32],
                created_at: crate::base::Clock.wall(),
                expires_at: None,
            },
        };
        let change = || crate::account::Change { at: crate::base::Clock.wall(), who: "anna".to_owned() };
        let (account, _) = crate::account::AccountStore::create_account(&*store, account, change()).await.unwrap();
        let office = ApiTokens::load(store).await.unwrap();
        let new = NewApiToken {
            account,
            label: "test".to_owned(),
            scopes: Scopes::from_iter([Scope::Status]),
            expires_at: None,
        };
        let made = office.make(new, Grantor::Member, change()).await.unwrap();
        let (mut reveals, now) = (Reveals::default(), Moment::from_millis(1_000));
        let (id, text) = (made.token.id.to_string(), made.text.as_str().to_owned());
        reveals.keep("session", (account, id.clone()), made.text, now);
        assert!(reveals.take("other", account, &id, now).is_none());
        assert!(reveals.take("session", AccountId(99), &id, now).is_none());
        assert_eq!(reveals.take("session", account, &id, now).unwrap().as_str(), text);
        assert!(reveals.take("session", account, &id, now).is_none(), "not a second time");
    }
}
