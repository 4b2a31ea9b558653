//! `/account` and `/a/{name}/account`: the person's sessions, language, zone and password; the account's data and its end.

use async_trait::async_trait;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::account_words::agent;
use super::format;
use super::handlers::{Answer, set_cookie};
use super::page::{Member, Page};
use super::pages::{AccountPart, AccountTemplate, AlertChoice, Shell};
use super::passkey_page::has_room;
use super::password::weakness;
use super::public::{Addresses, publish};
use super::request::{Button, Viewer, see_other};
use super::words::Locale;
use super::{assets, session, sign_in};
use crate::account::{Account, AccountError, AccountName, AccountStatus, Choice, OpenSession, Role, Tongue};

/// Sessions on the page.
const SESSIONS_SHOWN_MAX: usize = 100;

/// Keeps the memory of the running server in step with the store.
#[async_trait]
pub trait AccountKeeper: Send + Sync {
    /// Reads all accounts again and tells the other rooms what is new and what is gone.
    async fn reload(&self) -> Result<(), AccountError>;
}

/// A session on the page.
#[derive(Debug)]
pub(super) struct SessionLine {
    /// Names it in a form: made from its hash one way.
    pub(super) mark: String,
    pub(super) browser: String,
    pub(super) address: String,
    pub(super) made: Option<format::Stamp>,
    pub(super) seen: Option<format::Stamp>,
    pub(super) is_this: bool,
}

fn mark(session: &OpenSession) -> String {
    let digest = Sha256::digest(session.secret_hash);
    data_encoding::HEXLOWER.encode(digest.get(..12).unwrap_or_default())
}

/// What the forms of a person send. `back` is the account whose page the form was on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    csrf: String,
    back: String,
    which: String,
    tongue: String,
    zone: String,
    password: String,
}

type Wished = Result<Form<Wish>, FormRejection>;

fn own_hash(viewer: &Viewer) -> [u8; 32] {
    sign_in::secret_hash(&viewer.secret).unwrap_or_default()
}

fn back(wish: &Wish, done: &str) -> Response {
    back_to(&wish.back, done)
}

/// Back to the page that the form was on: of the account of that name, or the person's.
pub(super) fn back_to(account: &str, done: &str) -> Response {
    match account.parse::<AccountName>() {
        Ok(name) => see_other(&format!("/a/{name}/account?done={done}")),
        Err(_) => see_other(&format!("/account?done={done}")),
    }
}

async fn shown(
    member: &Member,
    shell: Shell,
    part: Option<AccountPart>,
    (status, wrong): (StatusCode, &'static str),
) -> Answer {
    let Member { door, visit, viewer, .. } = member;
    let (l, people, now) = (visit.locale, &door.app.rooms.people, door.app.clock.wall());
    let sessions = people.sessions_of(viewer.person.id, now).await.map_err(|error| member.failed(&error))?;
    let choice = people.choice_of(viewer.person.id).await.map_err(|error| member.failed(&error))?;
    let has_password = people.has_password(viewer.person.id).await.map_err(|error| member.failed(&error))?;
    let passkeys = door.passkey_lines(viewer.person.id, l).await.map_err(|error| member.failed(&error))?;
    let own = own_hash(viewer);
    let tongue = |value: &str, label: &'static str, tongue| AlertChoice {
        value: value.to_owned(),
        label: label.to_owned(),
        is_chosen: choice.tongue == tongue,
    };
    let template = AccountTemplate {
        has_others: sessions.len() > 1,
        sessions: sessions.iter().take(SESSIONS_SHOWN_MAX).map(|s| line(s, s.secret_hash == own, l)).collect(),
        tongues: vec![
            tongue("", l.choice_auto(), None),
            tongue("de", l.language_de(), Some(Tongue::De)),
            tongue("en", l.language_en(), Some(Tongue::En)),
        ],
        zone: choice.zone.map(|zone| zone.name().to_owned()).unwrap_or_default(),
        offers_passkeys: door.offers_passkeys(&member.headers) && has_room(&passkeys),
        passkey_script: &assets::PASSKEY_SCRIPT.path,
        passkeys,
        has_password,
        password_rule: l.password_rule(),
        said: visit.ask.done.as_deref().map(|done| said(done, l)).unwrap_or_default(),
        wrong,
        part,
        shell,
    };
    Ok(door.page(visit, status, &template))
}

fn said(done: &str, l: Locale) -> &'static str {
    match done {
        "saved" => l.said_saved(),
        "ended" => l.said_ended(),
        "password" => l.said_password(),
        "no-password" => l.said_password_gone(),
        "passkey" => l.said_passkey(),
        "no-passkey" => l.said_passkey_gone(),
        "leaving" => l.said_leaving(),
        "public" => l.said_public_on(),
        "no-public" => l.said_public_off(),
        "stays" => l.said_stays(),
        _ => "",
    }
}

fn line(session: &OpenSession, is_this: bool, l: Locale) -> SessionLine {
    let seen = session.seen.as_ref();
    let browser = seen.and_then(|seen| agent(&seen.agent));
    SessionLine {
        mark: mark(session),
        browser: browser.unwrap_or_else(|| l.agent_unknown().to_owned()),
        address: seen.map(|seen| seen.address.to_string()).unwrap_or_default(),
        made: session.made_at.map(|at| format::day(at, l)),
        seen: seen.map(|seen| format::day(seen.at, l)),
        is_this,
    }
}

/// `GET /account`: what is the person's alone; who has one account sees it all on that account's page.
pub(super) async fn person(member: Member) -> Answer {
    let directory = member.door.app.rooms.directory.load();
    let mut own = member.viewer.places.iter().filter_map(|place| directory.account(place.account));
    if let (Some(only), None) = (own.next(), own.next()) {
        let done = member.visit.ask.done.as_deref().map(|done| format!("?done={}", format::query_value(done)));
        return Ok(see_other(&format!("/a/{}/account{}", only.name, done.unwrap_or_default())));
    }
    let shell = member.door.shell(&member.visit, member.visit.locale.account());
    shown(&member, shell, None, (StatusCode::OK, "")).await
}

/// `GET /a/{name}/account`
pub(super) async fn account(page: Page) -> Answer {
    account_answer(page, (StatusCode::OK, ""), "").await
}

async fn account_answer(page: Page, (status, wrong): (StatusCode, &'static str), leave_wrong: &'static str) -> Answer {
    let Page { door, visit, headers, viewer, peer, account } = page;
    let Some(role) = viewer.role(account.id) else { return Ok(see_other("/account")) };
    let shell = door.account_shell(&visit, &account, visit.locale.account(), "account");
    let public = door.app.rooms.people.publication(account.id).await.map_err(|error| door.failed(&visit, &error))?;
    let may_leave = role == Role::Owner && door.app.rooms.keeper.is_some();
    let part = AccountPart {
        is_leaving: account.status == AccountStatus::Leaving,
        may_leave: may_leave && account.status != AccountStatus::Suspended,
        leave_wrong,
        public: public.as_ref().map(Addresses::of),
        may_publish: viewer.may_change(account.id),
    };
    shown(&Member { door, visit, headers, viewer, peer }, shell, Some(part), (status, wrong)).await
}

async fn wrong(member: Member, wish: &Wish, sentence: &'static str) -> Answer {
    refused(member, &wish.back, sentence).await
}

/// The page that the form was on, of the account of that name or the person's, with a sentence about what was wrong in it.
pub(super) async fn refused(member: Member, back: &str, sentence: &'static str) -> Answer {
    let status = (StatusCode::UNPROCESSABLE_ENTITY, sentence);
    let found: Option<Account> = member.door.account(&member.visit, back).map(|(_, account)| account).ok();
    let Member { door, visit, headers, viewer, peer } = member;
    match found {
        Some(account) => account_answer(Page { door, visit, headers, viewer, peer, account }, status, "").await,
        None => {
            let shell = door.shell(&visit, visit.locale.account());
            shown(&Member { door, visit, headers, viewer, peer }, shell, None, status).await
        }
    }
}

/// The form and whether it comes from our own page.
#[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
fn read(member: &Member, form: Wished) -> Result<Wish, Response> {
    let wish = form.map(|Form(wish)| wish).unwrap_or_default();
    member.check(&wish.csrf)?;
    Ok(wish)
}

/// `POST /account/choice`
pub(super) async fn choose(member: Member, form: Wished) -> Answer {
    let wish = read(&member, form)?;
    let (tongue, zone) = (wish.tongue.trim(), wish.zone.trim());
    let tongue = if tongue.is_empty() { Ok(None) } else { tongue.parse::<Tongue>().map(Some) };
    let zone = if zone.is_empty() { Ok(None) } else { zone.parse::<chrono_tz::Tz>().map(Some) };
    let (Ok(tongue), Ok(zone)) = (tongue, zone) else {
        let sentence = member.visit.locale.zone_bad();
        return wrong(member, &wish, sentence).await;
    };
    let people = &member.door.app.rooms.people;
    let chosen = people.set_choice(member.viewer.person.id, Choice { tongue, zone }, member.change()).await;
    chosen.map_err(|error| member.failed(&error))?;
    let mut answer = back(&wish, "saved");
    // What was asked for in this browser before would hide the choice.
    set_cookie(&mut answer, &session::forgotten_choice_cookie(member.door.scheme, "lang"));
    Ok(answer)
}

/// `POST /account/sessions`: ends one, or all but this one.
pub(super) async fn end_sessions(member: Member, form: Wished) -> Answer {
    let wish = read(&member, form)?;
    let Member { door, viewer, .. } = &member;
    let people = &door.app.rooms.people;
    let open = people.sessions_of(viewer.person.id, door.app.clock.wall()).await;
    let open = open.map_err(|error| member.failed(&error))?;
    let own = own_hash(viewer);
    let is_meant = |s: &&OpenSession| match wish.which.as_str() {
        "others" => s.secret_hash != own,
        one => mark(s) == one,
    };
    let which: Vec<[u8; 32]> = open.iter().filter(is_meant).map(|s| s.secret_hash).collect();
    let ends_this = which.contains(&own);
    let ended = people.end_sessions(viewer.person.id, which, member.change()).await;
    let ended = ended.map_err(|error| member.failed(&error))?;
    tracing::info!(person = %viewer.person.id, ended, "a person ended sessions");
    let mut answer = if ends_this { see_other("/") } else { back(&wish, "ended") };
    if ends_this {
        set_cookie(&mut answer, &session::ended_session_cookie(door.scheme));
    }
    Ok(answer)
}

/// `POST /account/password`: sets one, or removes it (`which=remove`).
pub(super) async fn set_password(member: Member, form: Wished) -> Answer {
    let mut wish = read(&member, form)?;
    let password = std::mem::take(&mut wish.password);
    let l = member.visit.locale;
    let (hash, done) = if wish.which == "remove" {
        (None, "no-password")
    } else {
        if let Some(weakness) = weakness(&password, &member.viewer.person.name) {
            return wrong(member, &wish, l.password_weak(weakness)).await;
        }
        match member.door.app.passwords.hash(password).await {
            Ok(hash) => (Some(hash), "password"),
            Err(_) => return wrong(member, &wish, l.password_busy()).await,
        }
    };
    let Member { door, viewer, .. } = &member;
    let set = door.app.rooms.people.set_password(viewer.person.id, hash, own_hash(viewer), member.change()).await;
    set.map_err(|error| member.failed(&error))?;
    tracing::info!(person = %viewer.person.id, done, "a person changed the password");
    Ok(back(&wish, done))
}

/// What the form of the account's end sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Leave {
    csrf: String,
    /// The account's name, typed.
    name: String,
    /// `stay` takes it back.
    which: String,
}

/// `POST /a/{name}/account/leave`: the same way out as `pulsemx account rm`, and back as `account resume`.
pub(super) async fn leave(page: Page, form: Result<Form<Leave>, FormRejection>) -> Answer {
    let wish = form.map(|Form(wish)| wish).unwrap_or_default();
    page.check_change(&Button { csrf: wish.csrf })?;
    let Page { door, visit, viewer, account, .. } = &page;
    let rooms = &door.app.rooms;
    let Some(keeper) = rooms.keeper.as_ref().filter(|_| viewer.role(account.id) == Some(Role::Owner)) else {
        return Err(door.forbidden(visit));
    };
    let (status, done) = match (wish.which.as_str(), account.status) {
        // What the operator suspended is not set free from here.
        (_, AccountStatus::Suspended) => return Err(door.forbidden(visit)),
        ("stay", _) => (AccountStatus::Active, "stays"),
        _ if wish.name.trim() != account.name.as_str() => {
            let sentence = visit.locale.leave_wrong();
            return account_answer(page, (StatusCode::UNPROCESSABLE_ENTITY, ""), sentence).await;
        }
        _ => (AccountStatus::Leaving, "leaving"),
    };
    rooms.accounts.set_status(account.id, status, page.change()).await.map_err(|error| page.failed(&error))?;
    if let Err(error) = keeper.reload().await {
        tracing::error!(%error, account = %account.name, "the new status is known at the next reload only");
    }
    rooms.flushes.retry(account.id);
    door.app.hub.ring(account.id);
    tracing::info!(account = %account.name, status = status.as_str(), "its owner changed the status of an account");
    Ok(see_other(&format!("/a/{}/account?done={done}", account.name)))
}

/// `POST /a/{name}/account/public`: `which` is `on` or `off`.
pub(super) async fn set_public(page: Page, form: Wished) -> Answer {
    let wish = form.map(|Form(wish)| wish).unwrap_or_default();
    page.check_change(&Button { csrf: wish.csrf })?;
    let is_on = match wish.which.as_str() {
        "on" => true,
        "off" => false,
        _ => return Err(page.door.not_found(&page.visit)),
    };
    let people = &page.door.app.rooms.people;
    let public = publish(people.as_ref(), page.account.id, is_on, page.change()).await;
    let public = public.map_err(|error| page.failed(&error))?;
    let done = if public.is_some() { "public" } else { "no-public" };
    Ok(see_other(&format!("/a/{}/account?done={done}", page.account.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WallTime;

    #[test]
    fn the_mark_of_a_session_tells_nothing_of_its_secret() {
        let session = |n: u8| OpenSession {
            secret_hash: [n; 32],
            expires_at: WallTime::from_timestamp_nanos(0),
            made_at: None,
            seen: None,
        };
        assert_ne!(mark(&session(1)), mark(&session(2)));
        assert_eq!(mark(&session(1)).len(), 24);
        assert!(!mark(&session(1)).contains("0101"));
    }
}
