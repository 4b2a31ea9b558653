//! The fire drill on the pages: a card of the status page with live steps, and a page that refreshes where scripts are off.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::header::REFRESH;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::beat::drill::status_of;
use super::format::{self, Stamp};
use super::handlers::Answer;
use super::page::Page;
use super::pages::Shell;
use super::request::{Button, Door, Shown, Viewer, see_other};
use super::words::Locale;
use crate::account::Account;
use crate::base::WallTime;
use crate::drill::{End, Record, words};

/// So long after its end the steps of a drill stay in the card.
const STEPS_SHOWN_FOR: chrono::Duration = chrono::Duration::minutes(10);
/// How often the page asks again while a drill runs, seconds.
const REFRESH_EVERY: HeaderValue = HeaderValue::from_static("1");

/// What the card shows. The names are those of the template and of the events of an open page.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(super) struct DrillCard {
    /// Before the first one.
    pub(super) drill_never: &'static str,
    /// The running or last one; at most one.
    pub(super) drill_last: Vec<DrillLine>,
    pub(super) drill_steps: Vec<DrillStep>,
    /// Neither is sent to pages that are open.
    #[serde(skip)]
    pub(super) is_offered: bool,
    #[serde(skip)]
    pub(super) may_start: bool,
    #[serde(skip)]
    is_running: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct DrillLine {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) at: Stamp,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct DrillStep {
    pub(super) line: String,
}

/// The page of its own.
#[derive(Template, Debug)]
#[template(path = "drill.html")]
struct DrillTemplate {
    shell: Shell,
    drill: DrillCard,
    /// Why none began.
    refusal: String,
    to: String,
}

/// The form that starts one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DrillForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    to: String,
}

/// The card of a drill at `now`; all its steps on the page of its own.
fn card(record: Option<&Record>, is_whole: bool, now: WallTime, l: Locale) -> DrillCard {
    let Some(record) = record else {
        return DrillCard { drill_never: l.drill_never(), is_offered: true, ..DrillCard::default() };
    };
    let language = l.drill_language();
    let (tone, icon, title) = match &record.end {
        None => ("info", "wait", l.drill_running().to_owned()),
        Some(End::Passed { .. }) if !record.has_passed() => ("bad", "bad", l.drill_failed().to_owned()),
        Some(End::Passed { .. }) => {
            let seconds = words::seconds(record.delivered_after_ms().unwrap_or_default(), language);
            ("ok", "ok", l.drill_passed(&seconds))
        }
        Some(End::Failed { .. }) => ("bad", "bad", l.drill_failed().to_owned()),
        Some(End::Interrupted) => ("off", "warn", l.drill_interrupted().to_owned()),
    };
    let detail = if record.end.is_some() { format::visible(&words::result(record, language)) } else { String::new() };
    let is_fresh = record.ended_at.is_none_or(|at| now - at < STEPS_SHOWN_FOR);
    let steps = record.steps.iter().filter(|_| is_whole || is_fresh);
    let step = |reached: &crate::drill::Reached| DrillStep {
        line: format!("{}: {}", words::seconds(reached.after_ms, language), words::step(reached.step, language)),
    };
    DrillCard {
        drill_never: "",
        drill_last: vec![DrillLine { tone, icon, title, detail, at: format::day(record.started_at, l) }],
        drill_steps: steps.map(step).collect(),
        is_offered: true,
        may_start: false,
        is_running: record.end.is_none(),
    }
}

impl Door {
    /// What the status page shows of drills.
    pub(super) fn drill_card(&self, account: &Account, viewer: Option<&Viewer>, l: Locale) -> DrillCard {
        self.drill_view(account, viewer, false, l)
    }

    fn drill_view(&self, account: &Account, viewer: Option<&Viewer>, is_whole: bool, l: Locale) -> DrillCard {
        let Some(drills) = &self.app.rooms.drills else { return DrillCard::default() };
        let may_start = viewer.is_some_and(|viewer| viewer.may_change(account.id));
        let card = card(drills.record(account.id).as_ref(), is_whole, self.app.clock.wall(), l);
        DrillCard { may_start, ..card }
    }
}

/// `GET /a/{name}/drill`: the running or last drill.
pub(super) async fn show(page: Page) -> Answer {
    if page.door.app.rooms.drills.is_none() {
        return Err(page.door.not_found(&page.visit));
    }
    page.seen(Shown::Status).await?;
    Ok(answer(&page, StatusCode::OK, String::new(), String::new()))
}

/// `POST /a/{name}/drill`: begins one, on behalf of the person.
pub(super) async fn start(page: Page, form: Result<Form<DrillForm>, FormRejection>) -> Answer {
    let DrillForm { csrf, to } = form.map(|Form(form)| form).unwrap_or_default();
    page.check(&Button { csrf })?;
    let Page { door, visit, viewer, account, .. } = &page;
    if !viewer.may_change(account.id) {
        return Err(door.forbidden(visit));
    }
    let Some(drills) = &door.app.rooms.drills else { return Err(door.not_found(visit)) };
    match drills.begin(account.id, Some(to.as_str()), &viewer.person.name).await {
        Ok(_) => Ok(see_other(&format!("/a/{}/drill", account.name))),
        Err(refusal) => {
            let said = words::refusal(&refusal, visit.locale.drill_language());
            Ok(answer(&page, status_of(&refusal), said, to))
        }
    }
}

/// The page; it comes again by itself while a drill runs.
fn answer(page: &Page, status: StatusCode, refusal: String, to: String) -> Response {
    let Page { door, visit, viewer, account, .. } = page;
    let l = visit.locale;
    let shell = door.account_shell(visit, account, l.drill_title(), "status");
    let drill = door.drill_view(account, Some(viewer), true, l);
    let comes_again = drill.is_running && refusal.is_empty();
    let mut response = door.page(visit, status, &DrillTemplate { shell, drill, refusal, to });
    if comes_again {
        response.headers_mut().insert(REFRESH, REFRESH_EVERY);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{Gate, Judgement, NamesSeen, Reached, Step};

    fn at(second: i64) -> WallTime {
        chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn record(end: Option<End>) -> Record {
        let steps = Step::ALL.into_iter().zip([0, 90, 120, 140, 1_440]);
        Record {
            started_at: at(0),
            to: "postmaster@firma.example".to_owned(),
            who: "anna".to_owned(),
            steps: steps.map(|(step, after_ms)| Reached { step, after_ms }).collect(),
            ended_at: end.is_some().then(|| at(2)),
            end,
            dns: None,
        }
    }

    #[test]
    fn the_card_says_whether_the_backup_was_ever_seen_to_work() {
        let never = card(None, false, at(0), Locale::En);
        assert!(never.drill_never.starts_with("Never tried.") && never.drill_last.is_empty());
        let passed = record(Some(End::Passed { proof: "its pinned key".to_owned(), key: None }));
        let fresh = card(Some(&passed), false, at(60), Locale::De);
        assert_eq!(
            (fresh.drill_last[0].title.as_str(), fresh.drill_last[0].tone),
            ("Letzte Probe: bestanden, 1,3 s", "ok")
        );
        assert_eq!(fresh.drill_steps.len(), 5);
        assert_eq!(fresh.drill_steps[4].line, "1,4 s: Testnachricht an Ihren Server zugestellt");
        let later = card(Some(&passed), false, at(700), Locale::De);
        assert_eq!((later.drill_steps.len(), later.drill_last.len()), (0, 1));
        assert_eq!(card(Some(&passed), true, at(700), Locale::De).drill_steps.len(), 5);
        let running = card(Some(&record(None)), false, at(700), Locale::En);
        assert!(running.is_running && running.drill_steps.len() == 5);
    }

    #[test]
    fn a_drill_whose_domain_leads_past_us_is_no_green_card() {
        let end = Some(End::Passed { proof: "its pinned key".to_owned(), key: None });
        let (domain, english) = ("firma.de".to_owned(), "this service is not among the MX records".to_owned());
        let seen = NamesSeen { domain, judgement: Judgement::Bad, english, german: "wir fehlen".to_owned() };
        let shown = card(Some(&Record { dns: Some(seen), ..record(end) }), false, at(3), Locale::En);
        assert_eq!((shown.drill_last[0].title.as_str(), shown.drill_last[0].tone), ("Last drill: failed", "bad"));
        assert!(shown.drill_last[0].detail.contains("the DNS of firma.de: this service is not"), "{shown:?}");
    }

    #[test]
    fn words_of_a_primary_stay_inert() {
        let reason = "550 \u{202e}<script>\r\n".to_owned();
        let failed = record(Some(End::Failed { gate: Gate::Mailbox, reason }));
        let shown = card(Some(&failed), false, at(3), Locale::En);
        assert!(!shown.drill_last[0].detail.contains(['\u{202e}', '\r', '\n']), "{}", shown.drill_last[0].detail);
    }
}
