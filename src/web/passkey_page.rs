//! `/account/passkeys` and `/sign-in/passkey`: adds, lists and removes a person's passkeys, and signs in with one. The
//! question goes to the script as JSON, the answer comes as an ordinary form.

use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::http::header::{HOST, ORIGIN};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::account_page::{back_to, refused};
use super::format;
use super::handlers::{Answer, set_cookie};
use super::page::{Guest, Member};
use super::passkey::{Party, Purpose, Signed, check_made, check_signed, get_options, make_options};
use super::request::{Door, see_other};
use super::words::Locale;
use super::{session, sign_in, sign_in_page};
use crate::account::passkey::{PASSKEY_NAME_CHARS_MAX, PASSKEYS_MAX};
use crate::account::{AccountError, Change, NewSession, Passkey};
use crate::base::PersonId;

/// A passkey on the page.
#[derive(Debug)]
pub(super) struct PasskeyLine {
    /// Names it in a form.
    pub(super) mark: String,
    pub(super) name: String,
    pub(super) made: format::Stamp,
    pub(super) used: Option<format::Stamp>,
}

fn mark(passkey: &Passkey) -> String {
    HEXLOWER.encode(Sha256::digest(&passkey.credential).get(..12).unwrap_or_default())
}

/// What the forms send. `back` is the account whose page the form was on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    csrf: String,
    back: String,
    which: String,
    name: String,
    client: String,
    attestation: String,
    credential: String,
    authenticator: String,
    signature: String,
    user: String,
}

type SentForm = Result<Form<Sent>, FormRejection>;

fn read(form: SentForm) -> Sent {
    form.map(|Form(sent)| sent).unwrap_or_default()
}

impl Door {
    /// Where a passkey made on this visit is good; absent where browsers make none.
    fn party(&self, headers: &axum::http::HeaderMap) -> Option<Party> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A POST says its origin, and that was checked to be ours.
        if let Some(origin) = text(ORIGIN) {
            return Party::of(origin);
        }
        match &self.app.settings.public_origin {
            Some(origin) => Party::of(origin),
            None => Party::of(&format!("{}://{}", self.scheme.as_str(), text(HOST)?)),
        }
    }

    /// Whether the page offers passkeys.
    pub(super) fn offers_passkeys(&self, headers: &axum::http::HeaderMap) -> bool {
        self.party(headers).is_some()
    }

    /// Those of a person, for the page.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn passkey_lines(&self, person: PersonId, l: Locale) -> Result<Vec<PasskeyLine>, AccountError> {
        let all = self.app.rooms.passkeys.passkeys_of(person).await?;
        let line = |passkey: &Passkey| PasskeyLine {
            mark: mark(passkey),
            name: format::visible(&passkey.name),
            made: format::day(passkey.made_at, l),
            used: passkey.used_at.map(|at| format::day(at, l)),
        };
        Ok(all.iter().map(line).collect())
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, super::passkey::Awaited> {
        self.app.passkeys.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// `POST /account/passkeys/begin`: what the browser is to make.
pub(super) async fn begin(member: Member, form: SentForm) -> Answer {
    member.check(&read(form).csrf)?;
    let Member { door, headers, viewer, peer, .. } = &member;
    let party = door.party(headers).ok_or_else(|| StatusCode::NOT_FOUND.into_response())?;
    let known = door.app.rooms.passkeys.passkeys_of(viewer.person.id).await.map_err(|error| member.failed(&error))?;
    let (_, challenge) = sign_in::new_secret().map_err(|error| member.failed(&error))?;
    let purpose = Purpose::Adding(viewer.person.id);
    if !door.awaited().keep(challenge, purpose, *peer, door.app.clock.monotonic()) {
        return Err(StatusCode::TOO_MANY_REQUESTS.into_response());
    }
    Ok(Json(make_options(&party, &challenge, (viewer.person.id, &viewer.person.name), &known)).into_response())
}

/// `POST /account/passkeys`: adds what the browser made.
pub(super) async fn add(member: Member, form: SentForm) -> Answer {
    let sent = read(form);
    member.check(&sent.csrf)?;
    let l = member.visit.locale;
    let Member { door, headers, viewer, .. } = &member;
    let name: String = sent.name.trim().chars().filter(|c| !c.is_control()).take(PASSKEY_NAME_CHARS_MAX).collect();
    let party = door.party(headers).ok_or_else(|| door.not_found(&member.visit))?;
    let now = door.app.clock.monotonic();
    let person = viewer.person.id;
    let made = check_made(&mut door.awaited(), &party, person, (&sent.client, &sent.attestation), now);
    let made = match made {
        Ok(made) if !name.is_empty() => made,
        Ok(_) => return refused(member, &sent.back, l.passkey_nameless()).await,
        Err(why) => {
            tracing::info!(%person, why, "a passkey was not added");
            return refused(member, &sent.back, l.passkey_failed()).await;
        }
    };
    let new = Passkey {
        credential: made.credential,
        person,
        public_key: made.public_key,
        counter: 0,
        name,
        made_at: door.app.clock.wall(),
        used_at: None,
    };
    match door.app.rooms.passkeys.add_passkey(new, member.change()).await {
        Ok(()) => {}
        Err(AccountError::LinkSpent) => return refused(member, &sent.back, l.passkey_too_many()).await,
        Err(error) => return Err(member.failed(&error)),
    }
    tracing::info!(%person, "a person added a passkey");
    Ok(back_to(&sent.back, "passkey"))
}

/// `POST /account/passkeys/remove`
pub(super) async fn remove(member: Member, form: SentForm) -> Answer {
    let sent = read(form);
    member.check(&sent.csrf)?;
    let (passkeys, person) = (&member.door.app.rooms.passkeys, member.viewer.person.id);
    let own = passkeys.passkeys_of(person).await.map_err(|error| member.failed(&error))?;
    if let Some(meant) = own.into_iter().find(|passkey| mark(passkey) == sent.which) {
        let removed = passkeys.remove_passkey(person, meant.credential, member.change()).await;
        removed.map_err(|error| member.failed(&error))?;
        tracing::info!(%person, "a person removed a passkey");
    }
    Ok(back_to(&sent.back, "no-passkey"))
}

/// `POST /sign-in/passkey/begin`: what the browser is to sign. The same for everybody.
pub(super) async fn begin_sign_in(Guest { door, visit, headers, peer }: Guest) -> Answer {
    if !door.provenance(&headers).is_own_page(door.scheme) {
        return Err(door.forbidden(&visit));
    }
    let party = door.party(&headers).ok_or_else(|| StatusCode::NOT_FOUND.into_response())?;
    let (_, challenge) = sign_in::new_secret().map_err(|error| door.failed(&visit, &error))?;
    if !door.awaited().keep(challenge, Purpose::SigningIn, peer, door.app.clock.monotonic()) {
        tracing::warn!(%peer, "a person or a program asks too often to sign in");
        return Err(StatusCode::TOO_MANY_REQUESTS.into_response());
    }
    Ok(Json(get_options(&party, &challenge)).into_response())
}

/// `POST /sign-in/passkey`: a passkey that is unknown is answered as one whose signature is wrong.
pub(super) async fn sign_in(guest: Guest, form: SentForm) -> Answer {
    let Guest { door, visit, headers, .. } = &guest;
    if !door.provenance(headers).is_own_page(door.scheme) {
        return Err(door.forbidden(visit));
    }
    let sent = read(form);
    let wrong = || sign_in_page::refused(&guest, visit.locale.passkey_wrong());
    let party = door.party(headers).ok_or_else(|| door.not_found(visit))?;
    let passkeys = &door.app.rooms.passkeys;
    let Ok(credential) = BASE64URL_NOPAD.decode(sent.credential.as_bytes()) else { return Err(wrong()) };
    let known = passkeys.passkey(credential.clone()).await.map_err(|error| door.failed(visit, &error))?;
    let signed = Signed {
        credential: &sent.credential,
        client: &sent.client,
        authenticator: &sent.authenticator,
        signature: &sent.signature,
        user: &sent.user,
    };
    let checked = check_signed(&mut door.awaited(), &party, known.as_ref(), &signed, door.app.clock.monotonic());
    let (counter, known) = match checked.map(|counter| (counter, known)) {
        Ok((counter, Some(known))) => (counter, known),
        Ok((_, None)) => return Err(wrong()),
        Err(why) => {
            tracing::info!(why, "a passkey did not sign in");
            return Err(wrong());
        }
    };
    let person = known.person;
    let found = door.app.rooms.accounts.person(person).await.map_err(|error| door.failed(visit, &error))?;
    let Some((owner, _)) = found else { return Err(wrong()) };
    let (secret, secret_hash) = sign_in::new_secret().map_err(|error| door.failed(visit, &error))?;
    let (now, lifetime) = (door.app.clock.wall(), door.app.settings.session_lifetime);
    let new = NewSession { secret_hash, person, expires_at: session::ends_at(now, lifetime) };
    let change = Change { at: now, who: owner.name };
    match passkeys.open_passkey_session(new, credential, counter, change).await {
        Ok(()) => {}
        Err(AccountError::LinkSpent) => return Err(wrong()),
        Err(error) => return Err(door.failed(visit, &error)),
    }
    tracing::info!(%person, "a person signed in with a passkey");
    let mut response: Response = see_other("/");
    set_cookie(&mut response, &session::session_cookie(door.scheme, &secret, lifetime));
    Ok(response)
}

/// Whether the person may add one more.
pub(super) const fn has_room(lines: &[PasskeyLine]) -> bool {
    lines.len() < PASSKEYS_MAX
}
