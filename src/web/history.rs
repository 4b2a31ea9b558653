//! Turns the rows of the transition log into what a person calls an outage, a return or a new address.

use std::time::Duration;

use serde::Serialize;

use super::format::{self, Stamp};
use super::words::Locale;
use crate::base::{EndpointId, WallTime};
use crate::liveness::{AddressChange, Cause, HistoryRow, LineState, Transition};

/// Lines of history on the status page.
const ITEMS_MAX: usize = 8;
/// An address that changes this soon after a return belongs to the outage, not on a line of its own.
const ADDRESS_BELONGS_WITHIN: Duration = Duration::from_secs(60);

/// One line of history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct HistoryItem {
    pub(super) at: Stamp,
    /// Colour: `bad`, `ok`, `off`, `none`.
    pub(super) tone: &'static str,
    pub(super) icon: &'static str,
    pub(super) title: String,
    /// Set while an outage runs: its begin, and the text becomes a running span.
    pub(super) running_since: Option<i64>,
    pub(super) detail: String,
}

/// An outage that is over or runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outage {
    pub(crate) since: WallTime,
    pub(crate) noticed_at: WallTime,
    /// The first beat after it.
    pub(crate) returned_at: Option<WallTime>,
    /// The primary's own answer after that.
    pub(crate) confirmed_at: Option<WallTime>,
    pub(crate) cause: Cause,
    pub(crate) new_address: Option<AddressChange>,
}

enum Event {
    Outage(Outage),
    FirstBeat(WallTime),
    Address(AddressChange),
    /// Silence that was our own fault, and its end.
    NoData(WallTime, Option<WallTime>),
}

/// The events of `rows` (newest first, as the log gives them), newest first.
fn events(rows: &[HistoryRow]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        match row {
            HistoryRow::State(change) if change.to == LineState::Offline => {
                events.push(Event::Outage(outage(change, rows.get(..place).unwrap_or_default())));
            }
            HistoryRow::State(change) if change.from == LineState::New => events.push(Event::FirstBeat(change.at)),
            HistoryRow::State(_) => {}
            HistoryRow::Address(change) => events.push(Event::Address(change.clone())),
            HistoryRow::NoData(period) if !period.is_over => {
                let newer = rows.get(..place).unwrap_or_default().iter().rev();
                let end = newer.filter(|row| row.endpoint() == period.endpoint).find_map(|row| match row {
                    HistoryRow::NoData(end) if end.is_over => Some(end.at),
                    HistoryRow::State(_) | HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_) => {
                        None
                    }
                });
                events.push(Event::NoData(period.since, end));
            }
            HistoryRow::NoData(_) | HistoryRow::Interval(_) => {}
        }
    }
    let covered: Vec<AddressChange> = events
        .iter()
        .filter_map(|event| match event {
            Event::Outage(outage) => outage.new_address.clone(),
            Event::FirstBeat(_) | Event::Address(_) | Event::NoData(..) => None,
        })
        .collect();
    events.retain(|event| !matches!(event, Event::Address(change) if covered.contains(change)));
    events
}

/// The outage that `down` began, with what the newer rows tell of its end.
fn outage(down: &Transition, newer: &[HistoryRow]) -> Outage {
    let mut found = Outage {
        since: down.since,
        noticed_at: down.at,
        returned_at: None,
        confirmed_at: None,
        cause: down.cause,
        new_address: None,
    };
    for row in newer.iter().rev() {
        match row {
            HistoryRow::State(up) if is_of(up.endpoint, down) => match up.to {
                LineState::Returning => found.returned_at = found.returned_at.or(Some(up.at)),
                LineState::Online => {
                    found.returned_at = found.returned_at.or(Some(up.at));
                    found.confirmed_at = Some(up.at);
                }
                LineState::Offline => break,
                LineState::New | LineState::Suspect => {}
            },
            HistoryRow::Address(change) if is_of(change.endpoint, down) => {
                let late = found.returned_at.is_some_and(|at| format::between(at, change.at) > ADDRESS_BELONGS_WITHIN);
                if !late && change.from.is_some() {
                    found.new_address = Some(change.clone());
                }
            }
            HistoryRow::State(_) | HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_) => {}
        }
        if found.confirmed_at.is_some() && found.new_address.is_some() {
            break;
        }
    }
    found
}

fn is_of(endpoint: EndpointId, down: &Transition) -> bool {
    endpoint == down.endpoint
}

fn cause(cause: Cause, locale: Locale) -> &'static str {
    match cause {
        Cause::MissedBeats => locale.cause_missed(),
        Cause::Goodbye => locale.cause_goodbye(),
        Cause::UpdateRanOut => locale.cause_ran_out(),
        Cause::Operator => locale.cause_operator(),
        Cause::Beat => locale.cause_beat(),
        Cause::Confirmed => locale.cause_confirmed(),
    }
}

fn item(event: &Event, now: WallTime, locale: Locale) -> HistoryItem {
    match event {
        Event::Outage(outage) => {
            let address = outage.new_address.as_ref().map(|change| change.to.to_string());
            let end = outage.returned_at.unwrap_or(now);
            let span = format::span(format::between(outage.since, end), locale);
            let is_running = outage.returned_at.is_none();
            HistoryItem {
                at: format::day(outage.since, locale),
                tone: if is_running { "bad" } else { "off" },
                icon: if is_running { "bad" } else { "off" },
                title: if is_running { span } else { locale.outage(&span) },
                running_since: is_running.then(|| outage.since.timestamp_millis()),
                detail: locale.outage_detail(cause(outage.cause, locale), address.as_deref()),
            }
        }
        Event::FirstBeat(at) => HistoryItem {
            at: format::day(*at, locale),
            tone: "ok",
            icon: "ok",
            title: locale.first_beat().to_owned(),
            running_since: None,
            detail: String::new(),
        },
        Event::Address(change) => HistoryItem {
            at: format::day(change.at, locale),
            tone: "none",
            icon: "swap",
            title: if change.from.is_some() { locale.address_changed() } else { locale.address_learned() }.to_owned(),
            running_since: None,
            detail: match change.from {
                Some(from) => format!("{from} → {}", change.to),
                None => change.to.to_string(),
            },
        },
        Event::NoData(since, end) => HistoryItem {
            at: format::day(*since, locale),
            tone: "none",
            icon: "none",
            title: locale.no_data(&format::span(format::between(*since, end.unwrap_or(now)), locale)),
            running_since: None,
            detail: locale.no_data_detail().to_owned(),
        },
    }
}

/// The newest lines of history for the page.
pub(super) fn items(rows: &[HistoryRow], now: WallTime, locale: Locale) -> Vec<HistoryItem> {
    events(rows).iter().take(ITEMS_MAX).map(|event| item(event, now, locale)).collect()
}

/// Every outage that `rows` tell of, newest first.
pub(crate) fn outages(rows: &[HistoryRow]) -> Vec<Outage> {
    let outage = |event| match event {
        Event::Outage(outage) => Some(outage),
        Event::FirstBeat(_) | Event::Address(_) | Event::NoData(..) => None,
    };
    events(rows).into_iter().filter_map(outage).collect()
}

/// The newest outage that is over.
pub(super) fn last_outage(rows: &[HistoryRow]) -> Option<Outage> {
    outages(rows).into_iter().find(|outage| outage.returned_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AccountId;
    use chrono::TimeZone;

    fn at(second: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()
    }

    fn state(from: LineState, to: LineState, cause: Cause, second: i64, since: i64) -> HistoryRow {
        HistoryRow::State(Transition {
            account: AccountId(1),
            endpoint: EndpointId(1),
            from,
            to,
            cause,
            at: at(second),
            since: at(since),
            address: None,
        })
    }

    fn moved(from: Option<&str>, to: &str, second: i64) -> HistoryRow {
        HistoryRow::Address(AddressChange {
            account: AccountId(1),
            endpoint: EndpointId(1),
            from: from.map(|a| a.parse().unwrap()),
            to: to.parse().unwrap(),
            at: at(second),
        })
    }

    fn one_day() -> Vec<HistoryRow> {
        let mut rows = vec![
            state(LineState::New, LineState::Online, Cause::Beat, 0, 0),
            moved(None, "192.0.2.1", 0),
            state(LineState::Online, LineState::Offline, Cause::MissedBeats, 112, 100),
            state(LineState::Offline, LineState::Returning, Cause::Beat, 236, 236),
            moved(Some("192.0.2.1"), "192.0.2.9", 237),
            state(LineState::Returning, LineState::Online, Cause::Confirmed, 238, 238),
            moved(Some("192.0.2.9"), "192.0.2.10", 900),
        ];
        rows.reverse();
        rows
    }

    #[test]
    fn an_outage_is_one_line_with_its_span_and_the_new_address() {
        let items = items(&one_day(), at(1_000), Locale::En);
        let titles: Vec<&str> = items.iter().map(|i| i.title.as_str()).collect();
        assert_eq!(titles, ["Address changed", "Offline for 2:16 min", "Address learned", "First heartbeat"]);
        assert_eq!(items[1].detail, "no heartbeats, came back with new address 192.0.2.9");
        assert_eq!(items[1].running_since, None);
        assert_eq!(items[0].detail, "192.0.2.9 → 192.0.2.10");
        assert_eq!(items[0].tone, "none");
    }

    #[test]
    fn a_running_outage_counts_from_the_first_missed_beat() {
        let mut rows = one_day();
        rows.insert(0, state(LineState::Online, LineState::Offline, Cause::Goodbye, 2_000, 1_990));
        let items = items(&rows, at(2_059), Locale::De);
        assert_eq!(items[0].title, "1:09 min");
        assert_eq!(items[0].running_since, Some(at(1_990).timestamp_millis()));
        assert_eq!(items[0].detail, "Ihr Server hat sich abgemeldet");
    }

    #[test]
    fn the_last_finished_outage_knows_when_it_was_noticed_and_confirmed() {
        let outage = last_outage(&one_day()).unwrap();
        assert_eq!((outage.since, outage.noticed_at), (at(100), at(112)));
        assert_eq!((outage.returned_at, outage.confirmed_at), (Some(at(236)), Some(at(238))));
        assert_eq!(last_outage(&[]), None);
    }
}
