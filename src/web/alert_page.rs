//! `/a/{name}/alerts`: who is told of an outage, by which channel, and what became of it. Channels are added, tested and
//! removed here; a secret goes in and never comes out again.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Form;
use axum::extract::Path;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::Response;
use chrono_tz::Tz;
use zeroize::Zeroizing;

use super::format::{self, Stamp};
use super::handlers::{Answer, Posted, pressed};
use super::page::Page;
use super::pages::{AlertChoice, AlertForm, AlertsTemplate, ChannelLine};
use super::request::{Button, Shown, see_other};
use super::token_page::Reveals;
use super::words::Locale;
use crate::alert::office::{ChannelShown, NewChannel, OfficeError};
use crate::alert::store::DELAY;
use crate::alert::{AlertError, Alerts, Channel, Kind, Kinds, Language, Terms};
use crate::base::AccountId;

/// Between two tests of one account: each is a request to somebody else's server.
pub(crate) const TEST_EVERY: Duration = Duration::from_secs(5);
/// What a customer may choose from; commands are the operator's alone.
const SCHEMES: [&str; 6] = ["mailto", "ntfy", "webhook", "gotify", "matrix", "telegram"];
/// Delays that the form offers, in seconds; others are set by `pulsemx alert add --delay`.
const DELAYS: [u64; 7] = [0, 60, 120, 300, 600, 1_800, 3_600];
/// Letters of a topic of ntfy that are shown: enough to know it again, too few to listen in.
const TOPIC_SHOWN: usize = 4;

type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

/// The form as it came.
#[derive(Clone, Debug)]
struct Wish {
    csrf: String,
    scheme: String,
    place: String,
    secret: Option<String>,
    language: Language,
    zone: String,
    quiet: (String, String),
    delay: Duration,
    recovery: bool,
    kinds: Kinds,
}

impl Wish {
    /// What the form offers to begin with: language and zone of the reader.
    fn ordinary(l: Locale, chosen: Option<Tz>) -> Self {
        let (language, zone) = match l {
            Locale::De => (Language::De, "Europe/Berlin"),
            Locale::En => (Language::En, "UTC"),
        };
        Self {
            csrf: String::new(),
            scheme: SCHEMES[0].to_owned(),
            place: String::new(),
            secret: None,
            language,
            zone: chosen.map_or(zone, Tz::name).to_owned(),
            quiet: (String::new(), String::new()),
            delay: DELAY,
            recovery: true,
            kinds: Kinds::ordinary(false),
        }
    }

    fn read(form: Fields, l: Locale) -> Self {
        let mut wish = Self { recovery: false, kinds: Kinds::NONE, ..Self::ordinary(l, None) };
        for (name, value) in form.map(|Form(fields)| fields).unwrap_or_default() {
            match name.as_str() {
                "csrf" => wish.csrf = value,
                "scheme" => wish.scheme = value,
                "place" => wish.place = value.trim().to_owned(),
                "secret" => wish.secret = Some(value.trim().to_owned()).filter(|secret| !secret.is_empty()),
                "language" => wish.language = Language::from_stored(&value).unwrap_or(wish.language),
                "zone" => wish.zone = value.trim().to_owned(),
                "quiet_from" => wish.quiet.0 = value,
                "quiet_to" => wish.quiet.1 = value,
                "delay" => {
                    let offered = DELAYS.into_iter().find(|seconds| seconds.to_string() == value);
                    wish.delay = offered.map_or(wish.delay, Duration::from_secs);
                }
                "recovery" => wish.recovery = true,
                "kind" => {
                    let own = Kinds::ordinary(false).iter().find(|kind| kind.as_str() == value);
                    wish.kinds = own.map_or(wish.kinds, |kind| wish.kinds.with(kind));
                }
                _ => {}
            }
        }
        wish
    }

    /// As the office takes it, or the sentence that says what to change.
    fn new_channel(&self, account: AccountId, l: Locale) -> Result<NewChannel, String> {
        if !SCHEMES.contains(&self.scheme.as_str()) {
            return Err(l.field_odd().to_owned());
        }
        let quiet = match (&self.quiet.0, &self.quiet.1) {
            (from, to) if from.is_empty() && to.is_empty() => None,
            (from, to) => Some(format!("{from}-{to}").parse().map_err(|_| l.quiet_bad().to_owned())?),
        };
        let terms = Terms {
            language: self.language,
            zone: self.zone.parse().map_err(|_| l.zone_bad().to_owned())?,
            quiet,
            delay: self.delay,
            recovery: self.recovery,
            kinds: self.kinds,
        };
        let url = format!("{}:{}", self.scheme, self.place);
        Ok(NewChannel { account: Some(account), url, secret: self.secret.clone(), terms })
    }

    fn shown(&self, wrong: String, l: Locale) -> AlertForm {
        let choice = |value: &str, label: String, is_chosen| AlertChoice { value: value.to_owned(), label, is_chosen };
        let delay = |s: u64| {
            let delay = Duration::from_secs(s);
            choice(&s.to_string(), l.tells_after(delay), delay == self.delay)
        };
        let language =
            |language: Language, label: &str| choice(language.as_str(), label.to_owned(), language == self.language);
        let kind = |kind: Kind| choice(kind.as_str(), l.alert_kind(kind).to_owned(), self.kinds.has(kind));
        AlertForm {
            wrong,
            schemes: SCHEMES.map(|s| choice(s, l.channel_scheme(s).to_owned(), s == self.scheme)).into(),
            place: format::visible(&self.place),
            languages: vec![language(Language::De, l.language_de()), language(Language::En, l.language_en())],
            zone: format::visible(&self.zone),
            quiet_from: format::visible(&self.quiet.0),
            quiet_to: format::visible(&self.quiet.1),
            delays: DELAYS.map(delay).into(),
            recovery: self.recovery,
            kinds: Kinds::ordinary(false).iter().map(kind).collect(),
        }
    }
}

/// What a page says besides.
#[derive(Default)]
struct Saying {
    said: &'static str,
    /// What went wrong with a test, and in whose words.
    failed: String,
    quote: String,
    key: Option<String>,
}

fn office(page: &Page) -> Result<&Arc<Alerts>, Box<Response>> {
    page.door.app.rooms.alerts.as_ref().ok_or_else(|| Box::new(page.door.not_found(&page.visit)))
}

/// Keys of new webhooks, on their way to the page that shows them.
fn keys(page: &Page) -> MutexGuard<'_, Reveals<Zeroizing<String>>> {
    page.door.app.webhook_keys.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn shown(page: &Page, status: StatusCode, wish: &Wish, wrong: String, saying: Saying) -> Answer {
    let l = page.visit.locale;
    let alerts = office(page).map_err(|answer| *answer)?;
    let may_act = page.may_change();
    let rows = alerts.list(Some(page.account.id)).await.map_err(|error| page.failed(&error))?;
    let template = AlertsTemplate {
        shell: page.door.account_shell(&page.visit, &page.account, l.alerts(), "alerts"),
        is_unreached: !rows.is_empty() && rows.iter().all(ChannelShown::is_failing),
        channels: rows.iter().map(|row| line(row, l)).collect(),
        may_act,
        form: wish.shown(wrong, l),
        said: saying.said,
        failed: saying.failed,
        quote: saying.quote,
        key: saying.key,
    };
    Ok(page.door.page(&page.visit, status, &template))
}

/// `GET /a/{name}/alerts`
pub(super) async fn list(page: Page) -> Answer {
    page.seen(Shown::Alerts).await?;
    let l = page.visit.locale;
    let said = match page.visit.ask.done.as_deref() {
        Some("added") => l.alert_added(),
        Some("removed") => l.alert_removed(),
        Some("tested") => l.alert_tested(),
        _ => "",
    };
    let now = page.door.app.clock.monotonic();
    let id = page.visit.ask.n.as_deref().filter(|_| page.may_change());
    let key = id.and_then(|id| keys(&page).take(&page.viewer.secret, page.account.id, id, now));
    let saying = Saying { said, key: key.map(|key| key.to_string()), ..Saying::default() };
    shown(&page, StatusCode::OK, &Wish::ordinary(l, page.visit.zone), String::new(), saying).await
}

/// `POST /a/{name}/alerts`: one more channel. The key of a webhook stands on the page that this leads to, once.
pub(super) async fn add(page: Page, form: Fields) -> Answer {
    let l = page.visit.locale;
    let wish = Wish::read(form, l);
    page.check_change(&Button { csrf: wish.csrf.clone() })?;
    let alerts = office(&page).map_err(|answer| *answer)?;
    let new = match wish.new_channel(page.account.id, l) {
        Ok(new) => new,
        Err(wrong) => return shown(&page, StatusCode::UNPROCESSABLE_ENTITY, &wish, wrong, Saying::default()).await,
    };
    match alerts.add(new, page.change()).await {
        Ok(added) => {
            tracing::info!(account = %page.account.name, channel = added.id, "a person added a channel of alerts");
            let mut target = format!("/a/{}/alerts?done=added", page.account.name);
            if let Some(key) = added.key {
                let of = (page.account.id, added.id.to_string());
                target.push_str(&format!("&n={}", added.id));
                keys(&page).keep(&page.viewer.secret, of, Zeroizing::new(key), page.door.app.clock.monotonic());
            }
            Ok(see_other(&target))
        }
        Err(OfficeError::Store(error @ AlertError::Engine(_))) => Err(page.failed(&error)),
        Err(error) => {
            let wrong = l.office_error(&error);
            shown(&page, StatusCode::UNPROCESSABLE_ENTITY, &wish, wrong, Saying::default()).await
        }
    }
}

/// `POST /a/{name}/alerts/{id}/test`: now, without delay and quiet hours; the answer says whether it got through.
pub(super) async fn test(Path((_, id)): Path<(String, String)>, page: Page, form: Posted) -> Answer {
    page.check_change(&pressed(form))?;
    let id: i64 = id.parse().map_err(|_| page.door.not_found(&page.visit))?;
    let l = page.visit.locale;
    let alerts = office(&page).map_err(|answer| *answer)?;
    let door = &page.door;
    let is_fair = {
        let mut pace = door.app.alert_tests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.admits(page.account.id, TEST_EVERY, door.app.clock.monotonic())
    };
    if !is_fair {
        let saying = Saying { failed: l.alert_test_soon().to_owned(), ..Saying::default() };
        return shown(&page, StatusCode::TOO_MANY_REQUESTS, &Wish::ordinary(l, page.visit.zone), String::new(), saying)
            .await;
    }
    let noted = door.app.rooms.accounts.note_of(page.account.id, format!("alert.test {id}"), page.change()).await;
    noted.map_err(|error| page.failed(&error))?;
    match alerts.test(Some(page.account.id), id).await {
        Ok(()) => Ok(see_other(&format!("/a/{}/alerts?done=tested", page.account.name))),
        Err(OfficeError::Store(AlertError::NoChannel(_))) => Err(door.not_found(&page.visit)),
        Err(error) => {
            let quote = if let OfficeError::Test(why) = &error { format::visible(why) } else { String::new() };
            let saying = Saying { failed: l.office_error(&error), quote, ..Saying::default() };
            shown(&page, StatusCode::OK, &Wish::ordinary(l, page.visit.zone), String::new(), saying).await
        }
    }
}

/// `POST /a/{name}/alerts/{id}/remove`
pub(super) async fn remove(Path((_, id)): Path<(String, String)>, page: Page, form: Posted) -> Answer {
    page.check_change(&pressed(form))?;
    let id: i64 = id.parse().map_err(|_| page.door.not_found(&page.visit))?;
    let alerts = office(&page).map_err(|answer| *answer)?;
    match alerts.remove(Some(page.account.id), id, page.change()).await {
        Ok(()) => Ok(see_other(&format!("/a/{}/alerts?done=removed", page.account.name))),
        Err(OfficeError::Store(AlertError::NoChannel(_) | AlertError::NoAccount)) => {
            Err(page.door.not_found(&page.visit))
        }
        Err(error) => Err(page.failed(&error)),
    }
}

fn line(row: &ChannelShown, l: Locale) -> ChannelLine {
    let channel = Channel::parse(&row.url).ok();
    let stamp = |at: Option<crate::base::WallTime>| -> Option<Stamp> { at.map(|at| format::day(at, l)) };
    let mut terms = vec![l.tells_after(Duration::from_secs(row.delay_s))];
    if row.recovery {
        terms.push(l.tells_end().to_owned());
    }
    terms.extend(row.quiet.as_ref().map(|quiet| l.quiet_from_to(quiet, &row.zone)));
    terms.push(match row.language {
        Language::De => l.language_de().to_owned(),
        Language::En => l.language_en().to_owned(),
    });
    let tone = match (row.is_failing(), row.last_sent_at) {
        (true, _) => "bad",
        (false, Some(_)) => "ok",
        (false, None) => "none",
    };
    ChannelLine {
        id: row.id,
        tone,
        kind: l.channel_scheme(channel.as_ref().map_or("", Channel::scheme)),
        place: format::visible(&channel.as_ref().map(place).unwrap_or_default()),
        terms: terms.join(" · "),
        kinds: kinds(&row.kinds, l),
        last_sent: stamp(row.last_sent_at),
        failure: if row.is_failing() { l.attempts_failed(row.failures) } else { String::new() },
        last_error: row.last_error.as_deref().filter(|_| row.is_failing()).map(format::visible).unwrap_or_default(),
        last_error_at: stamp(row.last_error_at.filter(|_| row.is_failing())),
        waiting: if row.waiting == 0 { String::new() } else { l.alerts_waiting(row.waiting) },
        lost: if row.lost_total == 0 { String::new() } else { l.alerts_lost(row.lost_total) },
        is_configured: row.configured,
    }
}

fn kinds(told: &[Kind], l: Locale) -> String {
    if Kinds::ordinary(false).iter().all(|kind| told.contains(&kind)) {
        return l.all_kinds().to_owned();
    }
    told.iter().map(|kind| l.alert_kind(*kind)).collect::<Vec<_>>().join(", ")
}

/// Where a channel leads, without what is as good as a secret: the path of a webhook, the topic of ntfy.
pub(crate) fn place(channel: &Channel) -> String {
    let host = channel.url().map_or("", |url| url.host());
    match channel {
        Channel::Mail(mailbox) => mailbox.to_string(),
        Channel::Ntfy { topic, .. } => format!("{host}/{}…", topic.chars().take(TOPIC_SHOWN).collect::<String>()),
        Channel::Matrix { room, .. } => room.clone(),
        Channel::Telegram { chat, .. } => chat.clone(),
        Channel::Webhook(_) | Channel::Gotify(_) => host.to_owned(),
        Channel::Command(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_good_as_a_secret_is_not_shown() {
        let shown = |url: &str| place(&Channel::parse(url).unwrap());
        assert_eq!(shown("ntfy:https://ntfy.example/firma-mail-7f3k"), "ntfy.example/firm…");
        assert_eq!(shown("webhook:https://hooks.example/s3cr3t?key=abc"), "hooks.example");
        assert_eq!(shown("mailto:a@b.example"), "a@b.example");
        assert_eq!(shown("telegram:-100123"), "-100123");
    }
}
