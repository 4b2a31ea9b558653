//! What happened to one message, step by step in words, as far as the store records it.

use super::format::{self, Stamp};
use super::spool_view;
use super::words::Locale;
use crate::account::AuditEntry;
use crate::base::WallTime;
use crate::spool::{MessageDetail, RecipientRow, RecipientState};

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TraceStep {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    /// Absent for how it stands now.
    pub(super) at: Option<Stamp>,
    pub(super) title: String,
    pub(super) detail: String,
    /// Words of a machine, quoted.
    pub(super) quote: String,
}

/// The steps, oldest first; the last ones say how each recipient stands now.
pub(super) fn steps(
    detail: &MessageDetail,
    audit: &[AuditEntry],
    is_online: bool,
    now: WallTime,
    locale: Locale,
) -> Vec<TraceStep> {
    let row = &detail.row;
    let mut dated: Vec<(WallTime, TraceStep)> = arrival(detail, locale);
    let id = row.id.to_string();
    for entry in audit {
        let mut words = entry.what.split(' ');
        let (verb, object) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if object != id || !(verb.starts_with("queue.") || verb.starts_with("message.")) {
            continue;
        }
        let title = locale.audited(verb).map_or_else(|| format::visible(verb), str::to_owned);
        dated.push((entry.at, step("none", "none", entry.at, title, format::visible(&entry.who), locale)));
    }
    for r in &row.recipients {
        if let (Some(at), 1..) = (r.last_attempt_at, r.attempts) {
            let (tone, icon) = attempt(r.state);
            let title = locale.step_attempt(r.attempts, &format::visible(&r.mailbox));
            let mut tried = step(tone, icon, at, title, String::new(), locale);
            tried.quote = spool_view::reply(r, locale);
            dated.push((at, tried));
        }
    }
    // Steps of one instant stay in the order in which they were found.
    dated.sort_by_key(|(at, _)| *at);
    let mut steps: Vec<TraceStep> = dated.into_iter().map(|(_, step)| step).collect();
    steps.extend(row.recipients.iter().map(|r| stands(r, row.recipients.len() > 1, is_online, now, locale)));
    steps
}

fn step(
    tone: &'static str,
    icon: &'static str,
    at: WallTime,
    title: String,
    detail: String,
    locale: Locale,
) -> TraceStep {
    TraceStep { tone, icon, at: Some(format::day(at, locale)), title, detail, quote: String::new() }
}

fn arrival(detail: &MessageDetail, locale: Locale) -> Vec<(WallTime, TraceStep)> {
    let row = &detail.row;
    let at = row.accepted_at;
    let tls = row.tls.as_deref().map_or_else(|| locale.plain_text().to_owned(), format::visible);
    let connection = locale.step_connection(&format::visible(&detail.helo));
    let stored = format!("{} · {}", format::size(row.octets, locale), row.id);
    vec![
        (at, step("ok", "ok", at, connection, format!("{} · {tls}", detail.peer), locale)),
        (at, step("ok", "ok", at, locale.step_stored().to_owned(), stored, locale)),
    ]
}

/// Colour and icon of the last attempt, by what became of the recipient.
const fn attempt(state: RecipientState) -> (&'static str, &'static str) {
    match state {
        RecipientState::Delivered => ("ok", "ok"),
        RecipientState::Refused => ("bad", "bad"),
        RecipientState::Queued | RecipientState::Claimed | RecipientState::Held | RecipientState::Expired => {
            ("warn", "warn")
        }
    }
}

fn stands(r: &RecipientRow, is_named: bool, is_online: bool, now: WallTime, locale: Locale) -> TraceStep {
    let title = match r.state {
        RecipientState::Queued if is_online => locale.now_waits(),
        RecipientState::Queued => locale.now_waits_beat(),
        RecipientState::Claimed => locale.now_claimed(),
        RecipientState::Held => locale.now_held(),
        RecipientState::Delivered => locale.now_delivered(),
        RecipientState::Refused => locale.now_refused(),
        RecipientState::Expired => locale.now_expired(),
    };
    let mut parts = Vec::new();
    if is_named {
        parts.push(format::visible(&r.mailbox));
    }
    if r.attempts == 0 {
        parts.push(locale.no_attempt().to_owned());
    }
    // Without heartbeats no time is promised: the next beat decides.
    if let Some(due) = r.due_at.filter(|due| is_online && r.state == RecipientState::Queued && *due > now) {
        parts.push(format!("{} {}", locale.next_try(), format::span(format::between(now, due), locale)));
    }
    let (tone, icon) = spool_view::look(r.state);
    TraceStep { tone, icon, at: None, title: title.to_owned(), detail: parts.join(" · "), quote: String::new() }
}
