//! `/sign-in`: with name and password, for those who want one. A name without a password is answered as one with a
//! wrong password is, after the same work.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::handlers::{Answer, set_cookie};
use super::page::Guest;
use super::pages::PasswordTemplate;
use super::password::PASSWORD_OCTETS_MAX;
use super::request::see_other;
use super::{assets, format, session, sign_in};
use crate::account::{AccountError, Change, NewSession};

/// Letters of a name that are looked at.
const NAME_CHARS_MAX: usize = 100;
/// Seconds after which somebody who tried too often may come again.
const AGAIN_AFTER: HeaderValue = HeaderValue::from_static("900");

/// Name and password as typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    name: String,
    password: String,
}

fn page(guest: &Guest, status: StatusCode, name: &str, wrong: &'static str) -> Response {
    let Guest { door, visit, headers, .. } = guest;
    let shell = door.shell(visit, visit.locale.sign_in());
    let (offers_passkeys, passkey_script) = (door.offers_passkeys(headers), &*assets::PASSKEY_SCRIPT.path);
    let name = format::visible(&name.chars().take(NAME_CHARS_MAX).collect::<String>());
    door.page(visit, status, &PasswordTemplate { shell, name, wrong, offers_passkeys, passkey_script })
}

/// The page again, as after a wrong password.
pub(super) fn refused(guest: &Guest, wrong: &'static str) -> Response {
    page(guest, StatusCode::UNPROCESSABLE_ENTITY, "", wrong)
}

/// `GET /sign-in`
pub(super) async fn show(guest: Guest) -> Answer {
    if guest.visit.viewer.is_some() {
        return Ok(see_other("/"));
    }
    Ok(page(&guest, StatusCode::OK, "", ""))
}

/// `POST /sign-in`
pub(super) async fn sign_in(guest: Guest, form: Result<Form<Typed>, FormRejection>) -> Answer {
    let Guest { door, visit, headers, peer } = &guest;
    if !door.provenance(headers).is_own_page(door.scheme) {
        return Err(door.forbidden(visit));
    }
    let (l, passwords) = (visit.locale, &door.app.passwords);
    let Typed { name, password } = form.map(|Form(typed)| typed).unwrap_or_default();
    let name = name.trim().to_owned();
    if name.is_empty() || password.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(page(&guest, StatusCode::UNPROCESSABLE_ENTITY, &name, l.password_wrong()));
    }
    if !passwords.tries().admits(*peer, &name, door.app.clock.monotonic()) {
        tracing::warn!(%peer, "a person or a program tries too many passwords");
        let mut answer = page(&guest, StatusCode::TOO_MANY_REQUESTS, &name, l.password_too_often());
        answer.headers_mut().insert(RETRY_AFTER, AGAIN_AFTER);
        return Err(answer);
    }
    let known = door.app.rooms.people.password_of(&name).await.map_err(|error| door.failed(visit, &error))?;
    let (person, hash) = known.unzip();
    // A password that is too long for us was never set; its work is bounded all the same.
    let typed = if password.len() > PASSWORD_OCTETS_MAX { String::new() } else { password };
    let is_right = match passwords.is_right(typed, hash).await {
        Ok(is_right) => is_right,
        Err(busy) => {
            tracing::warn!(%busy, "a sign-in was put off");
            return Err(page(&guest, StatusCode::SERVICE_UNAVAILABLE, &name, l.password_busy()));
        }
    };
    let Some(person) = person.filter(|_| is_right) else {
        return Err(page(&guest, StatusCode::UNPROCESSABLE_ENTITY, &name, l.password_wrong()));
    };
    passwords.tries().was_right(&name);
    let found = door.app.rooms.accounts.person(person).await.map_err(|error| door.failed(visit, &error))?;
    let Some((known, _)) = found else {
        return Err(page(&guest, StatusCode::UNPROCESSABLE_ENTITY, &name, l.password_wrong()));
    };
    let (secret, secret_hash) = sign_in::new_secret().map_err(|error| door.failed(visit, &error))?;
    let (now, lifetime) = (door.app.clock.wall(), door.app.settings.session_lifetime);
    let new = NewSession { secret_hash, person, expires_at: session::ends_at(now, lifetime) };
    let opened = door.app.rooms.people.open_session(new, Change { at: now, who: known.name }).await;
    opened.map_err(|error: AccountError| door.failed(visit, &error))?;
    tracing::info!(%person, "a person signed in with a password");
    let mut response = see_other("/");
    set_cookie(&mut response, &session::session_cookie(door.scheme, &secret, lifetime));
    Ok(response)
}
