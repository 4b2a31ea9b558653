//! Turns rows of the spool into the list of held mail and the page of one message.

use serde::Serialize;

use super::format::{self, Stamp};
use super::words::Locale;
use crate::base::WallTime;
use crate::spool::{MessageDetail, MessageRow, RecipientRow, RecipientState, StateFilter, Usage};

/// The filters as links, in order, with their word in the address.
pub(super) const FILTERS: [(&str, StateFilter); 5] = [
    ("held", StateFilter::Held),
    ("waiting", StateFilter::Waiting),
    ("kept", StateFilter::KeptBack),
    ("refused", StateFilter::Refused),
    ("delivered", StateFilter::Delivered),
];

/// The filter of that word; unknown words show what is held.
pub(super) fn filter(word: &str) -> (&'static str, StateFilter) {
    FILTERS.into_iter().find(|(known, _)| *known == word).unwrap_or(("held", StateFilter::Held))
}

/// One filter as a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FilterLink {
    pub(super) word: &'static str,
    pub(super) label: &'static str,
    /// Empty where it is not known.
    pub(super) count: String,
    pub(super) is_current: bool,
}

/// Colour and icon over the list.
pub(super) const fn heading(usage: Usage) -> (&'static str, &'static str) {
    if usage.waiting == 0 { ("ok", "ok") } else { ("warn", "wait") }
}

/// The filters with their counts.
pub(super) fn filter_links(current: &str, usage: Usage, locale: Locale) -> Vec<FilterLink> {
    FILTERS
        .into_iter()
        .map(|(word, filter)| {
            let (label, count) = match filter {
                StateFilter::Held | StateFilter::Any => (locale.filter_held(), Some(usage.waiting + usage.refused)),
                StateFilter::Waiting => (locale.filter_waiting(), Some(usage.waiting)),
                StateFilter::KeptBack => (locale.filter_kept(), None),
                StateFilter::Refused => (locale.filter_refused(), Some(usage.refused)),
                StateFilter::Delivered => (locale.filter_delivered(), None),
            };
            let count = count.map(|n| format::count(n, locale)).unwrap_or_default();
            FilterLink { word, label, count, is_current: word == current }
        })
        .collect()
}

/// One message in the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct SpoolLine {
    pub(super) id: String,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) state: &'static str,
    pub(super) note: String,
    pub(super) from: String,
    pub(super) is_bounce: bool,
    pub(super) to: String,
    /// Empty for those who may not see it.
    pub(super) subject: String,
    pub(super) size: String,
    pub(super) accepted: Stamp,
    pub(super) accepted_ms: i64,
    /// The script counts it; a row does not change because time passes.
    #[serde(skip)]
    pub(super) age: String,
    pub(super) attempts: String,
}

/// Colour and icon of a recipient's state.
pub(super) const fn look(state: RecipientState) -> (&'static str, &'static str) {
    (tone(state), icon(state))
}

const fn icon(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Queued => "wait",
        RecipientState::Claimed => "info",
        RecipientState::Held => "pause",
        RecipientState::Delivered => "ok",
        RecipientState::Refused | RecipientState::Expired => "bad",
    }
}

/// Colour of a recipient's state.
const fn tone(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Queued => "warn",
        RecipientState::Claimed => "info",
        RecipientState::Held => "info",
        RecipientState::Delivered => "ok",
        RecipientState::Refused | RecipientState::Expired => "bad",
    }
}

/// The state that speaks for a message: what needs a person first, then what still waits.
fn leading(recipients: &[RecipientRow]) -> Option<&RecipientRow> {
    let order = [
        RecipientState::Refused,
        RecipientState::Expired,
        RecipientState::Held,
        RecipientState::Claimed,
        RecipientState::Queued,
        RecipientState::Delivered,
    ];
    order.into_iter().find_map(|state| recipients.iter().find(|r| r.state == state))
}

/// The last reply of the primary, in one line; empty for none.
pub(super) fn reply(row: &RecipientRow, locale: Locale) -> String {
    match &row.last_reply {
        None => String::new(),
        Some(reply) => {
            let text = format::visible(&reply.text);
            match reply.code {
                Some(code) if text.starts_with(&code.to_string()) => text,
                Some(code) => format!("{code} {text}"),
                None => format!("{}: {text}", locale.no_connection()),
            }
        }
    }
}

/// One row as a line.
pub(super) fn line(row: &MessageRow, may_see_header: bool, now: WallTime, locale: Locale) -> SpoolLine {
    let lead = leading(&row.recipients);
    let state = lead.map_or(RecipientState::Queued, |r| r.state);
    let mut to = row.recipients.first().map(|r| format::visible(&r.mailbox)).unwrap_or_default();
    if row.recipients.len() > 1 {
        to = format!("{to} {}", locale.more_recipients(row.recipients.len() - 1));
    }
    let is_bounce = row.reverse_path.is_empty();
    SpoolLine {
        id: row.id.to_string(),
        tone: tone(state),
        icon: icon(state),
        state: locale.recipient_state(state),
        note: lead.map(|r| reply(r, locale)).unwrap_or_default(),
        from: if is_bounce { "<>".to_owned() } else { format::visible(&row.reverse_path) },
        is_bounce,
        to,
        subject: if may_see_header { format::subject(&row.subject) } else { String::new() },
        size: format::size(row.octets, locale),
        accepted: format::day(row.accepted_at, locale),
        accepted_ms: row.accepted_at.timestamp_millis(),
        age: format::span(format::between(row.accepted_at, now), locale),
        attempts: format::count(u64::from(row.recipients.iter().map(|r| r.attempts).max().unwrap_or(0)), locale),
    }
}

/// A recipient on the page of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RecipientLine {
    pub(super) mailbox: String,
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) state: &'static str,
    pub(super) attempts: String,
    pub(super) last_at: Option<Stamp>,
    pub(super) due_at: Option<Stamp>,
    pub(super) reply: String,
}

/// The page of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MessagePage {
    pub(super) line: SpoolLine,
    pub(super) header: Option<MessageHeader>,
    pub(super) peer: String,
    pub(super) tls: String,
    pub(super) sha256: String,
    pub(super) trace: String,
    pub(super) smtputf8: bool,
    pub(super) recipients: Vec<RecipientLine>,
    /// Words of the buttons that would change something.
    pub(super) deeds: Vec<(&'static str, &'static str)>,
    /// Something of it is still to be delivered, so its content is here.
    pub(super) is_here: bool,
}

/// What only the customer sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MessageHeader {
    pub(super) subject: String,
    pub(super) from: String,
    pub(super) message_id: String,
}

/// Makes the page of one message.
pub(super) fn message(
    detail: &MessageDetail,
    sees_header: bool,
    may_act: bool,
    now: WallTime,
    locale: Locale,
) -> MessagePage {
    let row = &detail.row;
    let recipients = row
        .recipients
        .iter()
        .map(|r| RecipientLine {
            mailbox: format::visible(&r.mailbox),
            tone: tone(r.state),
            icon: icon(r.state),
            state: locale.recipient_state(r.state),
            attempts: locale.attempts(r.attempts),
            last_at: r.last_attempt_at.map(|at| format::day(at, locale)),
            due_at: r.due_at.filter(|_| r.state == RecipientState::Queued).map(|at| format::day(at, locale)),
            reply: reply(r, locale),
        })
        .collect();
    let any = |is_meant: fn(RecipientState) -> bool| row.recipients.iter().any(|r| is_meant(r.state));
    let is_here = any(|state| state != RecipientState::Delivered);
    let deeds = [
        ("retry", locale.retry(), any(|s| s == RecipientState::Queued || s.is_quarantined())),
        ("release", locale.act_release(), any(|s| s == RecipientState::Held)),
        ("hold", locale.act_hold(), any(|s| s == RecipientState::Queued)),
        ("delete", locale.act_delete(), any(|s| !matches!(s, RecipientState::Delivered | RecipientState::Claimed))),
    ];
    let deeds = deeds.into_iter().filter(|(.., is_useful)| may_act && *is_useful);
    let trace = String::from_utf8_lossy(&detail.trace);
    MessagePage {
        line: line(row, sees_header, now, locale),
        header: sees_header.then(|| MessageHeader {
            subject: format::subject(&row.subject),
            from: format::subject(&detail.header_from),
            message_id: format::visible(&detail.message_id),
        }),
        peer: format!("{} ({})", format::visible(&detail.helo), detail.peer),
        tls: row.tls.as_deref().map_or_else(|| locale.no().to_owned(), format::visible),
        sha256: data_encoding::HEXLOWER.encode(&detail.sha256),
        trace: trace.lines().map(format::visible).collect::<Vec<_>>().join("\n"),
        smtputf8: row.smtputf8,
        recipients,
        deeds: deeds.map(|(word, label, _)| (word, label)).collect(),
        is_here,
    }
}
