//! `/a/{name}/log`: who did what to an account, the operator's looks included.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::format;
use super::handlers::Answer;
use super::pages::{LogLine, LogTemplate};
use super::request::{AskResult, Door, Shown};
use super::words::Locale;
use crate::account::AuditEntry;

/// Entries on the page.
const ROWS: u32 = 200;

/// `/a/{name}/log`
pub(super) async fn log(
    State(door): State<Door>,
    Path(name): Path<String>,
    ask: AskResult,
    headers: HeaderMap,
) -> Answer {
    let visit = door.visit(&headers, ask).await?;
    let (viewer, account) = door.account(&visit, &name)?;
    door.seen(&visit, &viewer, account.id, Shown::Log).await?;
    let rows = door.app.rooms.accounts.audit(Some(account.id), ROWS).await;
    let rows = rows.map_err(|error| door.failed(&visit, &error))?;
    let l = visit.locale;
    let template = LogTemplate {
        shell: door.account_shell(&visit, &account, l.log(), "log"),
        is_full: rows.len() >= ROWS as usize,
        lines: rows.iter().map(|row| line(row, l)).collect(),
    };
    Ok(door.page(&visit, StatusCode::OK, &template))
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
