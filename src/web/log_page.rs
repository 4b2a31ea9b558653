//! `/a/{name}/log`: who did what to an account, the operator's looks included.

use axum::http::StatusCode;

use super::format;
use super::handlers::Answer;
use super::page::Page;
use super::pages::{LogLine, LogTemplate};
use super::request::Shown;
use super::words::Locale;
use crate::account::AuditEntry;

/// Entries on the page.
const ROWS: u32 = 200;

/// `/a/{name}/log`
pub(super) async fn log(page: Page) -> Answer {
    let Page { door, visit, account, .. } = &page;
    page.seen(Shown::Log).await?;
    let rows = door.app.rooms.accounts.audit(Some(account.id), ROWS).await;
    let rows = rows.map_err(|error| page.failed(&error))?;
    let l = visit.locale;
    let template = LogTemplate {
        shell: door.account_shell(visit, account, l.log(), "log"),
        is_full: rows.len() >= ROWS as usize,
        lines: rows.iter().map(|row| line(row, l)).collect(),
    };
    Ok(door.page(visit, StatusCode::OK, &template))
}

fn line(row: &AuditEntry, l: Locale) -> LogLine {
    let (verb, object) = row.what.split_once(' ').unwrap_or((row.what.as_str(), ""));
    let (what, object) = match l.audited(verb) {
        Some(words) => (words.to_owned(), object),
        None => (format::visible(verb), object),
    };
    LogLine {
        at: format::day(row.at, l),
        who: format::visible(&row.who),
        what,
        object: format::visible(object),
        is_look: verb.starts_with("look."),
    }
}
