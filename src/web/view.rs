//! Turns what liveness, spool and delivery know into the status page: finished texts in one language.
//!
//! The same value fills the template and, as JSON, updates an open page.

use serde::Serialize;

use super::drawing::{self, Anatomy, Strip};
use super::format::{self, Stamp};
use super::history::{self, HistoryItem};
use super::words::Locale;
use crate::account::Endpoint;
use crate::base::WallTime;
use crate::delivery::view::FlushView;
use crate::liveness::{Families, HistoryRow, LineState, LineView};
use crate::spool::Usage;
use crate::update::{AccountUpdates, DeviceRequest, Source};

/// Domains named in a sentence before it says "and more".
const DOMAINS_NAMED_MAX: usize = 2;

/// All that the status page is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusFacts<'a> {
    pub(super) now: WallTime,
    pub(super) locale: Locale,
    pub(super) account: &'a str,
    pub(super) domains: &'a [String],
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) line: Option<&'a LineView>,
    pub(super) families: Families,
    pub(super) usage: Usage,
    pub(super) oldest_waiting: Option<WallTime>,
    pub(super) flush: &'a FlushView,
    pub(super) history: &'a [HistoryRow],
    pub(super) updates: Option<&'a AccountUpdates>,
    /// End of an announced absence.
    pub(super) holiday_until: Option<WallTime>,
}

/// What the page says at first sight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scene {
    New,
    Online,
    Trouble,
    Suspect(u32),
    Offline,
    Returning,
    Delivering,
}

/// The status page in words. Field names are the keys in the template and in the script.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct StatusPage {
    /// Colour and icon: `ok`, `warn`, `bad`, `info`, `none`.
    pub(super) tone: &'static str,
    pub(super) state: &'static str,
    pub(super) title: String,
    pub(super) state_word: &'static str,
    pub(super) headline: String,
    /// Begin of the running span inside the headline, and its text now.
    pub(super) headline_since: Option<i64>,
    pub(super) headline_span: String,
    pub(super) headline_after: String,
    pub(super) lead: String,
    pub(super) lead_strong: &'static str,
    pub(super) last_beat: Option<Stamp>,
    pub(super) last_beat_age: String,
    /// Which step of the state bar holds, counted from 0.
    pub(super) step: Option<u8>,
    pub(super) strip: Strip,
    pub(super) held: u64,
    pub(super) held_count: String,
    pub(super) held_sentence: String,
    pub(super) oldest_since: Option<i64>,
    pub(super) oldest_span: String,
    pub(super) refused: String,
    pub(super) problem: String,
    pub(super) flush: String,
    pub(super) flush_detail: String,
    pub(super) flush_at: Option<Stamp>,
    pub(super) facts: Vec<Fact>,
    /// Last request of each router or other device.
    pub(super) devices: Vec<DeviceItem>,
    /// Said where only updates tell of the server.
    pub(super) updates_only: &'static str,
    pub(super) history: Vec<HistoryItem>,
    /// Said in place of an empty history.
    pub(super) history_empty: &'static str,
    pub(super) anatomy: Option<Anatomy>,
    /// The server's clock when this was made, ms since 1970.
    pub(super) now: i64,
}

/// A line of the card about the customer's server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// `mono` for addresses, `warn`, or nothing.
    pub(super) tone: &'static str,
}

/// The last request of a device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct DeviceItem {
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) at: Stamp,
}

/// Makes the page.
pub(super) fn status(facts: &StatusFacts<'_>) -> StatusPage {
    let locale = facts.locale;
    let scene = scene(facts);
    let (headline, span, headline_after) = headline(scene, facts);
    let since = facts.line.and_then(|line| line.since).filter(|_| scene == Scene::Offline);
    let held = facts.usage.waiting;
    let history = history::items(facts.history, facts.now, locale);
    let last_beat = facts.line.and_then(|line| line.last_beat_at);
    let running = |at: WallTime| format::span(format::between(at, facts.now), locale);
    let (flush, flush_detail, flush_at) = flush(facts);
    StatusPage {
        tone: tone(scene),
        state: state_key(scene),
        title: format!("{}: {}", state_word(scene, locale), facts.account),
        state_word: state_word(scene, locale),
        headline,
        headline_since: since.map(|at| at.timestamp_millis()),
        headline_span: span,
        headline_after,
        lead: lead(scene, facts),
        lead_strong: if matches!(scene, Scene::New | Scene::Trouble) { "" } else { locale.nothing_to_do() },
        last_beat: last_beat.map(format::clock),
        last_beat_age: last_beat.map(running).unwrap_or_default(),
        step: step(scene),
        strip: drawing::strip(facts),
        held,
        held_count: format::count(held, locale),
        held_sentence: if held == 0 {
            locale.nothing_held().to_owned()
        } else {
            locale.held_sentence(held, &format::size(facts.usage.octets, locale))
        },
        oldest_since: facts.oldest_waiting.map(|at| at.timestamp_millis()),
        oldest_span: facts.oldest_waiting.map(running).unwrap_or_default(),
        refused: if facts.usage.refused == 0 { String::new() } else { locale.refused_hint(facts.usage.refused) },
        problem: facts.flush.last_problem.as_deref().map(format::visible).unwrap_or_default(),
        flush,
        flush_detail,
        flush_at,
        facts: server_facts(facts),
        devices: devices(facts),
        updates_only: if is_by_updates(facts) { locale.updates_only() } else { "" },
        history_empty: if history.is_empty() { locale.history_none() } else { "" },
        history,
        anatomy: history::last_outage(facts.history).and_then(|outage| drawing::anatomy(&outage, facts)),
        now: facts.now.timestamp_millis(),
    }
}

fn scene(facts: &StatusFacts<'_>) -> Scene {
    let Some(line) = facts.line else { return Scene::New };
    let is_delivering = facts.flush.is_delivering && facts.usage.waiting > 0;
    let is_trouble = line.mail_ok == Some(false) || (facts.usage.waiting > 0 && facts.flush.last_problem.is_some());
    match line.state {
        LineState::New => Scene::New,
        LineState::Online | LineState::Returning if is_delivering => Scene::Delivering,
        LineState::Online if is_trouble => Scene::Trouble,
        LineState::Online => Scene::Online,
        LineState::Suspect => Scene::Suspect(line.missed),
        LineState::Offline => Scene::Offline,
        LineState::Returning => Scene::Returning,
    }
}

const fn tone(scene: Scene) -> &'static str {
    match scene {
        Scene::New => "none",
        Scene::Online => "ok",
        Scene::Trouble | Scene::Suspect(_) => "warn",
        Scene::Offline => "bad",
        Scene::Returning | Scene::Delivering => "info",
    }
}

const fn state_key(scene: Scene) -> &'static str {
    match scene {
        Scene::New => "new",
        Scene::Online => "online",
        Scene::Trouble => "trouble",
        Scene::Suspect(_) => "suspect",
        Scene::Offline => "offline",
        Scene::Returning => "returning",
        Scene::Delivering => "delivering",
    }
}

const fn state_word(scene: Scene, locale: Locale) -> &'static str {
    match scene {
        Scene::New => locale.state_new(),
        Scene::Online | Scene::Trouble => locale.state_online(),
        Scene::Suspect(_) => locale.state_suspect(),
        Scene::Offline => locale.state_offline(),
        Scene::Returning => locale.state_returning(),
        Scene::Delivering => locale.state_delivering(),
    }
}

/// Colour and word of a line by itself, for the list of accounts.
pub(super) fn badge(state: LineState, locale: Locale) -> (&'static str, &'static str) {
    let scene = match state {
        LineState::New => Scene::New,
        LineState::Online => Scene::Online,
        LineState::Suspect => Scene::Suspect(1),
        LineState::Offline => Scene::Offline,
        LineState::Returning => Scene::Returning,
    };
    (tone(scene), state_word(scene, locale))
}

const fn step(scene: Scene) -> Option<u8> {
    match scene {
        Scene::New => None,
        Scene::Online | Scene::Trouble => Some(0),
        Scene::Suspect(0 | 1) => Some(1),
        Scene::Suspect(_) => Some(2),
        Scene::Offline => Some(3),
        Scene::Returning | Scene::Delivering => Some(4),
    }
}

/// The sentence at the top, with the running span between its two parts.
fn headline(scene: Scene, facts: &StatusFacts<'_>) -> (String, String, String) {
    let locale = facts.locale;
    let (before, after) = match scene {
        Scene::New => (locale.headline_new(), ""),
        Scene::Online if facts.usage.waiting > 0 => (locale.headline_online(), locale.headline_online_waiting()),
        Scene::Online => (locale.headline_online(), locale.headline_online_after()),
        Scene::Trouble => (locale.headline_trouble(), locale.mail_is_safe()),
        Scene::Suspect(_) if is_by_updates(facts) => (locale.headline_not_greeted(), locale.mail_is_safe()),
        Scene::Suspect(0 | 1) => (locale.headline_missed_1(), locale.mail_is_safe()),
        Scene::Suspect(_) => (locale.headline_missed_2(), locale.mail_is_safe()),
        Scene::Offline => {
            let since = facts.line.and_then(|line| line.since).unwrap_or(facts.now);
            let span = format::span(format::between(since, facts.now), locale);
            return (locale.headline_offline().to_owned(), span, format!(".{}", locale.mail_is_safe()));
        }
        Scene::Returning => (locale.headline_returning(), locale.mail_is_safe()),
        Scene::Delivering => (locale.headline_returning(), locale.headline_delivering()),
    };
    (before.to_owned(), String::new(), after.to_owned())
}

fn lead(scene: Scene, facts: &StatusFacts<'_>) -> String {
    let locale = facts.locale;
    match scene {
        Scene::New => locale.lead_new().to_owned(),
        Scene::Online => locale.lead_online(&domains(facts)),
        Scene::Trouble => locale.lead_trouble().to_owned(),
        Scene::Suspect(_) => locale.lead_suspect().to_owned(),
        Scene::Offline => locale.lead_offline(&domains(facts)),
        Scene::Returning | Scene::Delivering => locale.lead_returning().to_owned(),
    }
}

fn domains(facts: &StatusFacts<'_>) -> String {
    let named: Vec<&str> = facts.domains.iter().take(DOMAINS_NAMED_MAX).map(String::as_str).collect();
    let mut text = named.join(", ");
    if facts.domains.len() > DOMAINS_NAMED_MAX {
        text.push_str(&facts.locale.and_more(facts.domains.len() - DOMAINS_NAMED_MAX));
    }
    if text.is_empty() { facts.account.to_owned() } else { text }
}

fn flush(facts: &StatusFacts<'_>) -> (String, String, Option<Stamp>) {
    let locale = facts.locale;
    if facts.flush.is_delivering && facts.flush.delivered_now > 0 {
        return (locale.delivered_now(&format::count(facts.flush.delivered_now, locale)), String::new(), None);
    }
    let Some(last) = &facts.flush.last else { return (String::new(), locale.flush_none().to_owned(), None) };
    let span = format::short_span(format::between(last.started_at, last.ended_at), locale);
    let mut detail = locale.flush_rest(last.deferred, last.refused);
    if let Some(first) = last.first_delivery_after {
        detail = format!("{}, {detail}", locale.first_after(&format::short_span(first, locale)));
    }
    let headline = locale.delivered_in(&format::count(last.delivered, locale), &span);
    (headline, detail, Some(format::day(last.ended_at, locale)))
}

fn is_by_updates(facts: &StatusFacts<'_>) -> bool {
    facts.updates.is_some_and(|updates| updates.source == Source::Updates)
}

/// One line per device: what it calls itself and what it was answered, then why.
fn devices(facts: &StatusFacts<'_>) -> Vec<DeviceItem> {
    let locale = facts.locale;
    let item = |request: &DeviceRequest| {
        let (tone, icon) = if request.reason.is_fault() { ("warn", "warn") } else { ("none", "ok") };
        let agent = if request.agent.is_empty() { &request.device } else { &request.agent };
        let way = if request.is_encrypted { "" } else { locale.unencrypted() };
        DeviceItem {
            tone,
            icon,
            title: format!("{}: {}", format::visible(agent), request.answer),
            detail: format!("{}, {}{way}: {}", request.device, request.peer, locale.update_reason(request.reason)),
            at: format::day(request.at, locale),
        }
    };
    facts.updates.map(|updates| updates.devices.iter().map(item).collect()).unwrap_or_default()
}

fn server_facts(facts: &StatusFacts<'_>) -> Vec<Fact> {
    let locale = facts.locale;
    let mut list = Vec::new();
    let fact = |name, value, tone| Fact { name, value, tone };
    if let Some(endpoint) = facts.endpoint {
        let known = facts.line.and_then(|line| line.address);
        let stored = endpoint.address_v4.map(Into::into).or(endpoint.address_v6.map(Into::into));
        match known.or(stored) {
            Some(address) => {
                let socket = std::net::SocketAddr::new(address, endpoint.smtp_port);
                list.push(fact(locale.fact_server(), socket.to_string(), "mono"));
            }
            None => list.push(fact(locale.fact_server(), locale.address_none().to_owned(), "")),
        }
        list.push(fact(locale.fact_name(), endpoint.host.to_string(), "mono"));
    }
    list.extend(super::family::facts(&facts.families, locale));
    if !facts.domains.is_empty() {
        list.push(fact(locale.fact_domains(), domains(facts), ""));
    }
    let has_delivered = facts.flush.last.is_some() || facts.flush.delivered_now > 0;
    let without_tls = || if has_delivered { locale.tls_plain() } else { locale.tls_none() }.to_owned();
    let tls = facts.flush.last_tls.as_deref().map_or_else(without_tls, format::visible);
    list.push(fact(locale.fact_tls(), tls, ""));
    if let Some(until) = facts.holiday_until.filter(|until| *until > facts.now) {
        let span = format::span(format::between(facts.now, until), locale);
        list.push(fact(locale.fact_holiday(), locale.holiday(&span), ""));
    }
    if let Some(line) = facts.line {
        let client = if is_by_updates(facts) { locale.fact_probe() } else { locale.fact_client() };
        list.push(fact(client, locale.every(&format::short_span(line.interval, locale)), ""));
        list.extend(super::family::loss(line, locale));
        if let Some(until) = line.name_held_until.filter(|until| *until > facts.now) {
            let span = format::span(format::between(facts.now, until), locale);
            list.push(fact(locale.fact_name_held(), locale.name_held(&span), "warn"));
        }
        // What the client said before it fell silent is no news.
        match line.mail_ok.filter(|_| line.state.is_deliverable()) {
            Some(true) => list.push(fact(locale.fact_mail_ok(), locale.mail_ok_yes().to_owned(), "ok")),
            Some(false) => list.push(fact(locale.fact_mail_ok(), locale.mail_ok_no().to_owned(), "warn")),
            None => {}
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{AccountId, EndpointId, Moment};
    use crate::update::{Policy, Reason};
    use chrono::TimeZone;

    fn at(second: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()
    }

    /// Beats each 5 s from -295 s to `last`.
    fn line(state: LineState, last: i64) -> LineView {
        LineView {
            account: AccountId(1),
            endpoint: EndpointId(1),
            state,
            since: Some(at(last + 5)),
            last_beat: Some(Moment::from_millis(1)),
            last_beat_at: Some(at(last)),
            address: None,
            interval: Duration::from_secs(5),
            missed: u32::try_from(-last / 5).unwrap(),
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
            name_held_until: None,
            recent_beats: (-59..=last / 5).map(|n| at(n * 5)).collect(),
        }
    }

    fn facts(flush: &FlushView) -> StatusFacts<'_> {
        StatusFacts {
            now: at(0),
            locale: Locale::En,
            account: "firma",
            domains: &[],
            endpoint: None,
            line: None,
            families: Families::default(),
            usage: Usage::default(),
            oldest_waiting: None,
            flush,
            history: &[],
            updates: None,
            holiday_until: None,
        }
    }

    fn page(line: Option<&LineView>, waiting: u64, flush: &FlushView) -> StatusPage {
        status(&StatusFacts {
            now: at(0),
            locale: Locale::En,
            account: "firma",
            domains: &["a.example".to_owned(), "b.example".to_owned(), "c.example".to_owned()],
            endpoint: None,
            line,
            families: Families::default(),
            usage: Usage { waiting, refused: 0, octets: waiting * 1_000 },
            oldest_waiting: (waiting > 0).then(|| at(-69)),
            flush,
            history: &[],
            updates: None,
            holiday_until: None,
        })
    }

    #[test]
    fn an_unknown_line_is_new_and_nobody_is_alarmed() {
        let page = page(None, 0, &FlushView::default());
        assert_eq!((page.state, page.tone, page.step), ("new", "none", None));
        assert_eq!(page.history_empty, "Nothing has happened yet.");
    }

    #[test]
    fn offline_counts_from_the_first_missed_beat_and_names_the_domains() {
        let page = page(Some(&line(LineState::Offline, -75)), 14, &FlushView::default());
        assert_eq!((page.headline_span.as_str(), page.headline_since), ("1:10 min", Some(at(-70).timestamp_millis())));
        assert!(page.lead.contains("a.example, b.example and 1 more"), "{}", page.lead);
        assert_eq!((page.held_count.as_str(), page.oldest_span.as_str()), ("14", "1:09 min"));
        assert_eq!(page.strip.label, "14 missed");
    }

    #[test]
    fn an_announced_absence_is_told_while_it_lasts() {
        let flush = FlushView::default();
        let told = |holiday_until| {
            status(&StatusFacts { holiday_until, ..facts(&flush) })
                .facts
                .into_iter()
                .find(|fact| fact.name == "Away")
                .map(|fact| fact.value)
        };
        assert_eq!(told(Some(at(90))).unwrap(), "as announced, 1:30 min to go; mail may wait for longer");
        assert_eq!((told(Some(at(0))), told(None)), (None, None));
    }

    #[test]
    fn a_name_that_keeps_still_is_told_while_it_does() {
        let mut view = line(LineState::Online, 0);
        view.name_held_until = Some(at(90));
        let told = |view: &LineView| {
            let facts = page(Some(view), 0, &FlushView::default()).facts;
            facts.into_iter().find(|fact| fact.name == "Name in DNS").map(|fact| fact.value)
        };
        assert!(told(&view).unwrap().starts_with("stays as it is for 1:30 min"));
        view.name_held_until = Some(at(0));
        assert_eq!(told(&view), None);
    }

    #[test]
    fn the_page_says_delivering_only_while_held_mail_flows_to_a_line_that_is_there() {
        let running = FlushView { is_delivering: true, ..FlushView::default() };
        assert_eq!(page(Some(&line(LineState::Returning, 0)), 3, &running).state, "delivering");
        assert_eq!(page(Some(&line(LineState::Online, 0)), 3, &running).state, "delivering");
        assert_eq!(page(Some(&line(LineState::Online, 0)), 0, &running).state, "online");
        assert_eq!(page(Some(&line(LineState::Offline, -75)), 3, &running).state, "offline");
    }

    #[test]
    fn a_server_that_is_there_but_takes_nothing_is_no_green_page() {
        let stuck = FlushView { last_problem: Some("452 4.3.1 disk full".to_owned()), ..FlushView::default() };
        assert_eq!(page(Some(&line(LineState::Online, 0)), 3, &stuck).tone, "warn");
        assert_eq!(page(Some(&line(LineState::Online, 0)), 0, &stuck).tone, "ok", "an old problem is history");
        let mut silent = line(LineState::Online, 0);
        silent.mail_ok = Some(false);
        assert_eq!(page(Some(&silent), 0, &FlushView::default()).state, "trouble");
    }

    #[test]
    fn the_last_request_of_each_device_is_told_with_its_reason() {
        let request = |reason, agent: &str| DeviceRequest {
            account: AccountId(1),
            device: "token 7".to_owned(),
            at: at(-5),
            peer: "203.0.113.7".parse().unwrap(),
            agent: agent.to_owned(),
            is_encrypted: false,
            hosts: "mail.dyn.example".to_owned(),
            answer: "dnserr".to_owned(),
            reason,
        };
        let devices = vec![request(Reason::BadAddress, "Fritz!Box DDNS/1.0.1\u{202e}"), request(Reason::Unchanged, "")];
        let updates = AccountUpdates { source: Source::Updates, policy: Policy::default(), devices };
        let view = line(LineState::Online, 0);
        let flush = FlushView::default();
        let facts = StatusFacts { updates: Some(&updates), line: Some(&view), ..facts(&flush) };
        let page = status(&facts);
        assert_eq!((page.devices[0].tone, page.devices[1].tone), ("warn", "none"));
        assert!(page.devices[0].title.starts_with("Fritz!Box DDNS/1.0.1"), "{}", page.devices[0].title);
        assert!(!page.devices[0].title.contains('\u{202e}'), "{}", page.devices[0].title);
        assert_eq!(page.devices[1].title, "token 7: dnserr");
        assert!(page.devices[0].detail.ends_with("(unencrypted): address unreadable or not public"));
        assert!(page.updates_only.contains("only if it proves itself"));
        assert!(page.facts.iter().any(|fact| fact.name == Locale::En.fact_probe()));
    }

    #[test]
    fn the_strip_marks_gaps_inside_and_the_silence_at_the_end() {
        let mut view = line(LineState::Suspect, -15);
        view.recent_beats.retain(|beat| *beat != at(-100) && *beat != at(-105));
        let strip = page(Some(&view), 0, &FlushView::default()).strip;
        assert_eq!(strip.missed_path.matches('M').count(), 4, "two inside and two at the end: {}", strip.missed_path);
        assert_eq!(strip.label, "2 missed");
        assert_eq!((strip.window, strip.interval, strip.is_beating), (300_000, 5_000, false));
        assert_eq!(strip.begin, "5 min ago");
        let steady = page(Some(&line(LineState::Online, 0)), 0, &FlushView::default()).strip;
        assert_eq!((steady.missed_path.as_str(), steady.is_beating), ("", true));
        assert!(steady.beats_path.ends_with("M600.0 14V46"), "{}", steady.beats_path);
    }

    #[test]
    fn a_flush_is_told_with_its_time_and_what_was_left() {
        let mut flush = FlushView {
            last: Some(crate::delivery::view::FlushSummary {
                started_at: at(-60),
                ended_at: at(-60) + chrono::Duration::milliseconds(600),
                delivered: 12,
                deferred: 0,
                refused: 0,
                first_delivery_after: Some(Duration::from_millis(240)),
            }),
            ..FlushView::default()
        };
        let calm = page(None, 0, &flush);
        assert_eq!(
            (calm.flush.as_str(), calm.flush_detail.as_str()),
            ("12 delivered in 0.6 s", "first after 0.3 s, nothing lost")
        );
        if let Some(last) = &mut flush.last {
            (last.deferred, last.refused) = (2, 1);
        }
        assert!(page(None, 0, &flush).flush_detail.ends_with("2 deferred, 1 refused"));
    }

    #[test]
    fn an_outage_is_drawn_to_scale() {
        let outage = history::Outage {
            since: at(-1_000),
            noticed_at: at(-985),
            returned_at: Some(at(-880)),
            confirmed_at: None,
            cause: crate::liveness::Cause::MissedBeats,
            new_address: None,
        };
        let flush = FlushView::default();
        let facts = StatusFacts { locale: Locale::De, ..facts(&flush) };
        let drawn = drawing::anatomy(&outage, &facts).unwrap();
        let widths: Vec<&str> = drawn.segments.iter().map(|s| s.width.as_str()).collect();
        assert_eq!(widths, ["60.0", "60.0", "420.0", "0.0", "60.0"]);
        assert_eq!(drawn.facts[0].value, "2:00 min");
        assert_eq!(drawn.facts[1].value, "15 s");
    }
}
