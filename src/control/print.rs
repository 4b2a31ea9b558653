//! Answers as text for a terminal: aligned, without colour, control characters of mail escaped.

use std::fmt::Write;

use super::reply::{
    AccountShown, FamilyShown, MessageDetailShown, MessageShown, PinShown, QueueShown, RecipientsShown, Reply,
    StateShown, StatusShown, TokenShown, TraceShown,
};
use super::{
    alert_print, certificate_reply, challenge_request, key_request, post_reply, token_print, transfer_print,
    update_print, zone_print,
};
use crate::account::{AccountStatus, OPERATOR_NAME};
use crate::base::WallTime;

/// The answer as lines, each ended by a line feed.
#[must_use]
pub fn as_text(reply: &Reply, now: WallTime) -> String {
    match reply {
        Reply::Token(shown) => token(shown),
        Reply::Accounts(shown) if shown.is_empty() => {
            "no accounts yet; add one with `pulsemx account add NAME --domain DOMAIN`\n".to_owned()
        }
        Reply::Accounts(shown) => accounts(shown, now),
        Reply::Account(shown) => account(shown, now),
        Reply::Link { url, expires_at } => format!("{url}\nvalid once, until {}\n", time(*expires_at)),
        Reply::Proof(p) => format!(
            "{}: accepted {} = delivered {} + deleted {} + expired {} + waiting {} + refused {}: {}\n",
            p.account,
            p.accepted,
            p.delivered,
            p.deleted,
            p.expired,
            p.waiting,
            p.refused,
            if p.balanced { "balanced" } else { "NOT BALANCED" }
        ),
        Reply::Drill(shown) => format!("{}\n", shown.result),
        Reply::Pin(shown) => pin(shown),
        Reply::Queue(shown) => queue(shown, now),
        Reply::Trace(shown) => trace(shown, now),
        Reply::Message(shown) => message(shown, now),
        Reply::Retried { recipients } => format!("{recipients} recipients queued for now\n"),
        Reply::State(shown) => state(shown, now),
        Reply::Status(shown) => status(shown, now),
        Reply::UpdateToken(shown) => update_print::token(shown),
        Reply::UpdateTokens { tokens, api_tokens } => token_print::both(tokens, api_tokens, now),
        Reply::ApiToken(shown) => token_print::fresh(shown),
        Reply::Hosts(shown) => update_print::hosts(shown, now),
        Reply::Zones(shown) => zone_print::zones(shown),
        Reply::Zone(shown) => zone_print::zone(shown),
        Reply::Secondaries(shown) => transfer_print::secondaries(shown),
        Reply::NewKey(shown) => transfer_print::new_key(shown),
        Reply::ZoneKeys(shown) => key_request::text(shown),
        Reply::Challenge(shown) => challenge_request::new_key(shown),
        Reply::Challenges(shown) => challenge_request::keys(shown),
        Reply::Keys(shown) => transfer_print::keys(shown),
        Reply::ZoneText { text, .. } => text.clone(),
        Reply::ZoneChecked { is_good, findings } => zone_print::checked(*is_good, findings),
        Reply::Text { text } => text.clone(),
        Reply::MessageTrace(shown) => post_reply::trace(shown),
        Reply::Outgoing(shown) => post_reply::outgoing(shown),
        Reply::Outage(shown) => post_reply::outage(shown),
        Reply::Recipients(shown) => recipients(shown, now),
        Reply::Alerts(shown) => alert_print::channels(shown, now),
        Reply::AlertAdded { id, key } => alert_print::added(*id, key.as_deref()),
        Reply::Done { message, .. } => format!("{message}\n"),
    }
}

/// Text from mail or peers with control characters and escapes made visible.
#[must_use]
pub fn safe(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

pub(super) fn time(at: WallTime) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `4 s`, `3:12 min`, `5:07 h`, `3 d`.
#[must_use]
pub fn age(from: WallTime, now: WallTime) -> String {
    let seconds = (now - from).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}:{:02} h", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `310 kB`, `1.9 MB`.
#[must_use]
pub fn size(octets: u64) -> String {
    match octets {
        0..1_000 => format!("{octets} B"),
        1_000..1_000_000 => format!("{} kB", octets / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", octets / 1_000_000, octets % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", octets / 1_000_000_000, octets % 1_000_000_000 / 100_000_000),
    }
}

/// Lays rows out in columns, two blanks apart.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn pairs(rows: &[(&str, String)]) -> String {
    table(&rows.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect::<Vec<_>>())
}

fn names<T: ToString>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn token(shown: &TokenShown) -> String {
    let mut rows = vec![
        ("account", shown.account.to_string()),
        ("token", shown.token.clone()),
        ("host", shown.host.to_string()),
        ("port", shown.port.to_string()),
        ("domains", names(&shown.domains)),
    ];
    if let Some(until) = shown.old_token_until {
        rows.push(("old token until", time(until)));
    }
    let mut text = pairs(&rows);
    let _ = write!(
        text,
        "\nThe token is shown this once. On the customer's machine, with the token in a file of mode 0600:\n  \
         pulsemx-beat run --server HOST:PORT --account {} --token-file FILE\n",
        shown.account
    );
    text
}

fn accounts(shown: &[AccountShown], now: WallTime) -> String {
    let head = ["ACCOUNT", "STATE", "SINCE", "LAST BEAT", "ADDRESS", "HELD", "REFUSED", "DOMAINS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|a| {
        vec![
            a.account.to_string(),
            a.state.to_string(),
            a.since.map_or_else(|| "-".to_owned(), |at| age(at, now)),
            a.last_beat.map_or_else(|| "-".to_owned(), |at| age(at, now)),
            a.address.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
            a.held.to_string(),
            a.refused.to_string(),
            names(&a.domains),
        ]
    }));
    table(&rows)
}

/// What the account chose.
fn choices(a: &AccountShown, now: WallTime) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(until) = a.holiday_until.filter(|until| *until > now) {
        rows.push(("holiday", format!("until {}: no alert after a goodbye, mail may wait for longer", time(until))));
    }
    if !a.forwarders.is_empty() {
        rows.push(("forwarders", a.forwarders.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
    }
    rows
}

fn account(a: &AccountShown, now: WallTime) -> String {
    let since = a.since.map_or_else(String::new, |at| format!(" since {} ({})", time(at), age(at, now)));
    let live = if a.live { "" } else { " (last stored state; the server is not running)" };
    let mut rows = vec![
        ("account", a.account.to_string()),
        ("state", format!("{}{since}{live}", a.state)),
        (
            "last beat",
            a.last_beat.map_or_else(
                || "none since the server started".to_owned(),
                |at| format!("{} ({} ago)", time(at), age(at, now)),
            ),
        ),
        (
            "mail server",
            format!("{}:{} as {}", a.address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()), a.port, a.host),
        ),
        ("domains", names(&a.domains)),
        ("held", format!("{} messages, {} refused, {}", a.held, a.refused, size(a.held_bytes))),
        ("delivering", if a.delivering { "yes" } else { "no" }.to_owned()),
    ];
    match a.status {
        AccountStatus::Active => {}
        AccountStatus::Suspended => rows.insert(1, ("contract", format!("suspended since {}", time(a.status_since)))),
        AccountStatus::Leaving => rows.insert(1, ("contract", format!("leaving since {}", time(a.status_since)))),
    }
    rows.extend(choices(a, now));
    if let Some(mode) = a.online_mode {
        rows.push(("while online", mode.to_string()));
    }
    rows.extend(a.families.iter().map(|family| (if family.address.is_ipv4() { "IPv4" } else { "IPv6" }, way(family))));
    if let Some(named) = a.not_proven {
        rows.push(("named, not proven", format!("{named}: outside of what heartbeats come from, so not published")));
    }
    if let Some(loss) = a.loss_percent {
        let both = a.unanswered_percent.map_or_else(String::new, |both| format!(", {both:.1} % there and back"));
        rows.push(("packet loss", format!("{loss:.1} % on the way here{both}")));
    }
    if let Some(until) = a.name_held_until {
        rows.push(("name", format!("keeps its record until {}: the line comes and goes", time(until))));
    }
    if let Some(flush) = &a.last_flush {
        rows.push((
            "last flush",
            format!(
                "{} delivered, {} put off, {} refused in {} ms, ended {}",
                flush.delivered,
                flush.deferred,
                flush.refused,
                flush.took_ms,
                time(flush.ended_at)
            ),
        ));
    }
    if let Some(hold) = &a.hold {
        rows.push(("stopped", format!("by {} since {}: {}", hold.kind, time(hold.since), safe(&hold.reason))));
    }
    if let Some(proof) = &a.proof {
        rows.push(("proven by", proof.clone()));
    }
    if let Some(doubt) = &a.doubt {
        rows.push(("no mail goes there", safe(doubt)));
    }
    if let Some(problem) = &a.last_problem {
        rows.push(("last problem", safe(problem)));
    }
    pairs(&rows) + &update_print::of_account(a, now)
}

fn way(family: &FamilyShown) -> String {
    let since = match family.proven_since {
        Some(at) => format!("proven since {}", time(at)),
        None => "not heard since the server started".to_owned(),
    };
    let heard = family.silent_ms.map_or_else(String::new, |ms| format!(", last beat {:.1} s ago", seconds(ms)));
    let host = family.mail_host.map_or_else(String::new, |host| format!(", mail server beside it {host}"));
    let loss =
        family.loss_percent.filter(|loss| *loss > 0.0).map_or_else(String::new, |loss| format!(", loses {loss:.1} %"));
    format!(
        "{} {since}{heard}, goes after {:.1} s of silence{loss}{host}",
        family.address,
        seconds(family.goes_after_ms)
    )
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn pin(shown: &PinShown) -> String {
    let mut rows = vec![
        ("account", shown.account.to_string()),
        ("mail server", shown.host.to_string()),
        ("pinned key", shown.pinned.clone().unwrap_or_else(|| "none: the next delivery over TLS pins one".to_owned())),
    ];
    rows.extend(shown.proof.iter().map(|proof| ("last proof", proof.clone())));
    rows.extend(shown.vouched.iter().map(|key| ("vouched for by its client", key.clone())));
    rows.extend(shown.shown_instead.iter().map(|key| ("shown instead", key.clone())));
    rows.extend(shown.doubt.iter().map(|doubt| ("no mail goes there", safe(doubt))));
    pairs(&rows)
}

fn queue(shown: &QueueShown, now: WallTime) -> String {
    if shown.messages.is_empty() {
        return "nothing\n".to_owned();
    }
    let head = ["ID", "AGE", "SIZE", "STATE", "FROM", "TO", "LAST REPLY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for message in &shown.messages {
        for (at, recipient) in message.recipients.iter().enumerate() {
            let first = |text: String| if at == 0 { text } else { String::new() };
            rows.push(vec![
                first(message.id.clone()),
                first(age(message.accepted_at, now)),
                first(size(message.bytes)),
                recipient.state.clone(),
                first(sender(message)),
                safe(&recipient.to),
                safe(recipient.last_reply.as_deref().unwrap_or("-")),
            ]);
        }
    }
    let mut text = table(&rows);
    if let Some(next) = &shown.next {
        let _ = writeln!(text, "more: --after {next}");
    }
    let is_for_us =
        |message: &MessageShown| message.account.as_ref().is_some_and(|name| name.as_str() == OPERATOR_NAME);
    if shown.messages.iter().any(is_for_us) {
        text.push_str(
            "mail for the operator: read it with queue show ID --content, remove it with queue drop ID --yes\n",
        );
    }
    text
}

fn trace(shown: &TraceShown, now: WallTime) -> String {
    let mut text = String::new();
    if !shown.messages.is_empty() || shown.refused.is_empty() {
        text = queue(&QueueShown { messages: shown.messages.clone(), next: None }, now);
    }
    if shown.is_cut {
        text.push_str("only the oldest of the week; there were too many messages to look through\n");
    }
    if !shown.refused.is_empty() {
        let head = ["REFUSED", "PEER", "HELO", "FROM", "TO", "REPLY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(shown.refused.iter().map(|one| {
            let from = if one.from.is_empty() { "<>".to_owned() } else { safe(&one.from) };
            vec![time(one.at), one.peer.to_string(), safe(&one.helo), from, safe(&one.to), safe(&one.reply)]
        }));
        text.push_str(&table(&rows));
    }
    text
}

fn sender(message: &MessageShown) -> String {
    if message.from.is_empty() { "<>".to_owned() } else { safe(&message.from) }
}

fn message(shown: &MessageDetailShown, now: WallTime) -> String {
    let m = &shown.message;
    let mut text = pairs(&[
        ("id", m.id.clone()),
        ("account", m.account.as_ref().map_or_else(|| "several".to_owned(), ToString::to_string)),
        ("accepted", format!("{} ({} ago)", time(m.accepted_at), age(m.accepted_at, now))),
        ("from", sender(m)),
        ("size", size(m.bytes)),
        ("sent by", format!("{} calling itself {}", shown.peer, safe(&shown.helo))),
        ("tls", shown.tls.clone().unwrap_or_else(|| "none".to_owned())),
        ("message-id", safe(&shown.message_id)),
        ("sender", shown.verdict.as_ref().map_or_else(|| "not checked".to_owned(), |v| safe(&v.to_line()))),
        ("sha256", shown.sha256.clone()),
    ]);
    text.push('\n');
    let head = ["TO", "STATE", "ATTEMPTS", "LAST ATTEMPT", "NEXT", "LAST REPLY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(m.recipients.iter().map(|r| {
        vec![
            safe(&r.to),
            r.state.clone(),
            r.attempts.to_string(),
            r.last_attempt_at.map_or_else(|| "-".to_owned(), time),
            r.due_at.map_or_else(|| "-".to_owned(), time),
            safe(r.last_reply.as_deref().unwrap_or("-")),
        ]
    }));
    text + &table(&rows)
}

fn state(shown: &StateShown, now: WallTime) -> String {
    let outage = shown.own_outage.as_ref().map_or_else(
        || "none".to_owned(),
        |o| {
            let uplink = match o.uplink_up {
                Some(true) => "our uplink answers",
                Some(false) => "our uplink does not answer",
                None => "our uplink was not asked (heartbeat.self_check)",
            };
            let since = age(o.since, now);
            format!(
                "{} for {since}: {} of {} lines silent, nobody is neutralised; {uplink}",
                o.fault, o.silent, o.heard
            )
        },
    );
    let suspect = if shown.suspect.is_empty() { "none".to_owned() } else { names(&shown.suspect) };
    pairs(&[("own outage", outage), ("suspect", suspect)])
}

fn recipients(shown: &RecipientsShown, now: WallTime) -> String {
    let head = ["DOMAIN", "LISTED", "LIST FROM", "ACCEPTED", "REFUSED", "UNKNOWN", "DETAIL", "TAKES EVERYBODY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(shown.domains.iter().map(|d| {
        let stale = if d.is_stale { ", too old to refuse anybody" } else { "" };
        vec![
            d.domain.to_string(),
            d.listed.to_string(),
            d.list_at.map_or_else(|| "no list".to_owned(), |at| format!("{} ago{stale}", age(at, now))),
            d.accepted.to_string(),
            d.refused.to_string(),
            d.unknown.as_str().to_owned(),
            d.separator.map_or_else(|| "-".to_owned(), String::from),
            d.takes_everybody.map_or("-", |takes| if takes { "yes: its 250 tells nothing" } else { "no" }).to_owned(),
        ]
    }));
    let entries: String = shown.entries.iter().map(|entry| format!("{}\n", safe(entry))).collect();
    if entries.is_empty() { table(&rows) } else { format!("{}\n{entries}", table(&rows)) }
}

fn status(s: &StatusShown, now: WallTime) -> String {
    let running = match (s.running, s.started_at) {
        (true, Some(at)) => format!("running since {} ({})", time(at), age(at, now)),
        (true, None) => "running".to_owned(),
        (false, _) => "not running; this is the last stored state".to_owned(),
    };
    let mut lines = vec![
        ("server", format!("{} {}, {running}", s.hostname, s.version)),
        (
            "accounts",
            format!(
                "{}: {} online, {} suspect, {} offline, {} returning, {} new",
                s.accounts, s.online, s.suspect, s.offline, s.returning, s.new
            ),
        ),
        ("held", format!("{} messages, {} refused, {}", s.held, s.refused, size(s.held_bytes))),
        ("delivering", format!("to {} accounts", s.delivering)),
    ];
    if s.postmaster > 0 {
        let text = format!("{} messages kept; see `pulsemx queue list --account operator`", s.postmaster);
        lines.push(("postmaster", text));
    }
    if let Some(smtp) = &s.smtp {
        let mut text = format!("{} sessions, {} messages stored", smtp.sessions, smtp.stored);
        for (reason, count) in &smtp.refused {
            text.push_str(&format!(", {count} {reason}"));
        }
        lines.push(("smtp", text));
    }
    if let Some(certificate) = &s.certificate {
        lines.push(("certificate", certificate_reply::line(certificate)));
    }
    if s.alerts_failing > 0 {
        let unreached = if s.alerts_unreached.is_empty() { "nobody".to_owned() } else { s.alerts_unreached.join(", ") };
        lines.push(("alerts", format!("{} channels fail; not reached at all: {unreached}", s.alerts_failing)));
    }
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn ages_and_sizes_read_like_speech() {
        let at = |s: i64| chrono::Utc.timestamp_opt(1_800_000_000 + s, 0).unwrap();
        assert_eq!(age(at(0), at(5)), "5 s");
        assert_eq!(age(at(0), at(192)), "3:12 min");
        assert_eq!(age(at(0), at(3 * 3_600 + 420)), "3:07 h");
        assert_eq!(age(at(5), at(0)), "0 s");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_900_000), "1.9 MB");
    }

    #[test]
    fn control_characters_of_mail_never_reach_the_terminal() {
        assert_eq!(safe("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
    }
}
