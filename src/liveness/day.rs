//! What a day amounts to for an account: how long it was online, offline or unknown, how often it changed.
//!
//! Days are those of UTC. Only days on which something happened have a row: it says what was counted, up to which
//! second, and in what standing the account went on. All other days follow from the row before them.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{Days, NaiveDate, Timelike};
use serde::Serialize;

use super::transition::{HistoryRow, LineState};
use crate::base::WallTime;

/// Days in one answer, at most: the year that is shown, with the leap day and both ends.
pub const DAYS_MAX: u64 = 368;
/// Seconds of a day. UTC as computers count it has no others.
const DAY_SECONDS: u32 = 86_400;

/// How an account stands for the count of a day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// Beats vouch for at least one of its servers, or did a moment ago.
    Online,
    /// All are silent, and that may be our own fault.
    NoData,
    /// All are silent.
    Offline,
    /// Never heard.
    Unknown,
}

impl Standing {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::NoData => "no_data",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Online, Self::NoData, Self::Offline, Self::Unknown]
            .into_iter()
            .find(|standing| standing.as_str() == text)
    }

    /// Of one server.
    #[must_use]
    pub const fn of(state: LineState, has_no_data: bool) -> Self {
        match state {
            LineState::New => Self::Unknown,
            LineState::Offline => Self::Offline,
            LineState::Online | LineState::Suspect | LineState::Returning if has_no_data => Self::NoData,
            LineState::Online | LineState::Suspect | LineState::Returning => Self::Online,
        }
    }

    /// Of an account with these servers: the best speaks.
    pub fn best(servers: impl IntoIterator<Item = Self>) -> Self {
        servers.into_iter().min().unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One day of one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct DaySummary {
    /// Which day, of UTC.
    pub day: NaiveDate,
    /// Seconds ONLINE, SUSPECT or RETURNING.
    pub online_s: u32,
    /// Seconds OFFLINE.
    pub offline_s: u32,
    /// Seconds of silence that was taken to be our own fault.
    pub no_data_s: u32,
    /// Outages that began on this day.
    pub outages: u32,
    /// Addresses that were replaced on this day.
    pub address_changes: u32,
}

impl DaySummary {
    const fn empty(day: NaiveDate) -> Self {
        Self { day, online_s: 0, offline_s: 0, no_data_s: 0, outages: 0, address_changes: 0 }
    }

    fn add(&mut self, standing: Standing, seconds: u32) {
        match standing {
            Standing::Online => self.online_s += seconds,
            Standing::NoData => self.no_data_s += seconds,
            Standing::Offline => self.offline_s += seconds,
            Standing::Unknown => {}
        }
    }
}

/// A day as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayRow {
    /// What was counted.
    pub counted: DaySummary,
    /// Up to this second of the day.
    pub until_s: u32,
    /// How the account went on from there.
    pub then: Standing,
}

/// The row to store after something happened to an account whose newest row is `newest`: it replaces that row if
/// it is of the same day. `now` is how the account stands after it.
#[must_use]
pub fn counted(newest: Option<DayRow>, row: &HistoryRow, now: Standing) -> DayRow {
    let at = begins_at(row);
    let (day, second) = (at.date_naive(), at.num_seconds_from_midnight());
    let mut next = match newest {
        // Also when the wall clock went back: what was counted stays counted.
        Some(newest) if newest.counted.day >= day => {
            let until = if newest.counted.day > day { newest.until_s } else { second.max(newest.until_s) };
            let mut counted = newest.counted;
            counted.add(newest.then, until - newest.until_s);
            DayRow { counted, until_s: until, ..newest }
        }
        Some(newest) => {
            let mut counted = DaySummary::empty(day);
            counted.add(newest.then, second);
            DayRow { counted, until_s: second, then: newest.then }
        }
        None => DayRow { counted: DaySummary::empty(day), until_s: second, then: Standing::Unknown },
    };
    if next.then != Standing::Offline && next.then != Standing::Unknown && now == Standing::Offline {
        next.counted.outages += 1;
    }
    if matches!(row, HistoryRow::Address(change) if change.from.is_some()) {
        next.counted.address_changes += 1;
    }
    next.then = now;
    next
}

/// From when a row counts: an outage from the first missed beat on.
const fn begins_at(row: &HistoryRow) -> WallTime {
    match row {
        HistoryRow::State(row) if matches!(row.to, LineState::Offline) => row.since,
        HistoryRow::NoData(row) if !row.is_over => row.since,
        HistoryRow::State(_) | HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_) => row.at(),
    }
}

/// Every day from `from` to `to`, both included. `rows` are those of these days and the newest before them.
#[must_use]
pub fn filled(rows: &[DayRow], from: NaiveDate, to: NaiveDate, now: WallTime) -> Vec<DaySummary> {
    let of_day: BTreeMap<NaiveDate, &DayRow> = rows.iter().map(|row| (row.counted.day, row)).collect();
    let from = from.max(to.checked_sub_days(Days::new(DAYS_MAX - 1)).unwrap_or(from));
    let mut standing = of_day.range(..from).next_back().map_or(Standing::Unknown, |(_, row)| row.then);
    from.iter_days()
        .take_while(|day| *day <= to)
        .map(|day| {
            let end = match day.cmp(&now.date_naive()) {
                std::cmp::Ordering::Less => DAY_SECONDS,
                std::cmp::Ordering::Equal => now.num_seconds_from_midnight(),
                std::cmp::Ordering::Greater => 0,
            };
            let row = of_day.get(&day);
            let (mut summary, until) = row.map_or((DaySummary::empty(day), 0), |row| (row.counted, row.until_s));
            standing = row.map_or(standing, |row| row.then);
            summary.add(standing, end.saturating_sub(until));
            summary
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AccountId, EndpointId};
    use crate::liveness::{AddressChange, Cause, Transition};
    use chrono::TimeZone;

    /// Midnight of the first day, and `hours` after it.
    fn at(hours: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_478_400, 0).unwrap() + chrono::TimeDelta::hours(hours)
    }

    fn went(to: LineState, hours: i64) -> HistoryRow {
        let (account, endpoint) = (AccountId(1), EndpointId(1));
        let (cause, from, since) = (Cause::Beat, LineState::Online, at(hours));
        let at = since + chrono::TimeDelta::seconds(12);
        let at = if to == LineState::Offline { at } else { since };
        HistoryRow::State(Transition { account, endpoint, from, to, cause, at, since, address: None })
    }

    fn moved(hours: i64) -> HistoryRow {
        let address = "192.0.2.1".parse().unwrap();
        let (account, endpoint) = (AccountId(1), EndpointId(1));
        HistoryRow::Address(AddressChange { account, endpoint, from: Some(address), to: address, at: at(hours) })
    }

    fn rows(events: &[(HistoryRow, Standing)]) -> Vec<DayRow> {
        let mut rows: Vec<DayRow> = Vec::new();
        for (event, standing) in events {
            let row = counted(rows.last().copied(), event, *standing);
            if rows.last().is_some_and(|last| last.counted.day == row.counted.day) {
                rows.pop();
            }
            rows.push(row);
        }
        rows
    }

    fn hours(summary: &DaySummary) -> (u32, u32, u32) {
        (summary.online_s / 3_600, summary.offline_s / 3_600, summary.no_data_s / 3_600)
    }

    #[test]
    fn days_without_a_row_follow_from_the_row_before() {
        let rows = rows(&[
            (went(LineState::Online, 6), Standing::Online),
            (went(LineState::Offline, 3 * 24 + 12), Standing::Offline),
            (moved(3 * 24 + 13), Standing::Offline),
            (went(LineState::Online, 5 * 24 + 1), Standing::Online),
        ]);
        assert_eq!(rows.len(), 3);
        let (from, to) = (at(-24).date_naive(), at(6 * 24).date_naive());
        let days = filled(&rows, from, to, at(6 * 24 + 2));
        let expected = [(0, 0, 0), (18, 0, 0), (24, 0, 0), (24, 0, 0), (12, 12, 0), (0, 24, 0), (23, 1, 0), (2, 0, 0)];
        assert_eq!(days.iter().map(hours).collect::<Vec<_>>(), expected);
        assert_eq!((days[4].outages, days[4].address_changes), (1, 1));
        assert_eq!(days.iter().map(|day| day.outages).sum::<u32>(), 1);
        assert_eq!(filled(&rows, at(4 * 24).date_naive(), at(4 * 24).date_naive(), at(999)).len(), 1);
        assert_eq!(hours(&filled(&rows, at(96).date_naive(), at(96).date_naive(), at(999))[0]), (0, 24, 0));
    }

    #[test]
    fn a_day_never_holds_more_than_its_seconds_though_the_clock_goes_back() {
        let rows = rows(&[
            (went(LineState::Online, 30), Standing::Online),
            (went(LineState::Offline, 40), Standing::Offline),
            (went(LineState::Online, 35), Standing::Online),
            (went(LineState::Offline, 10), Standing::Offline),
        ]);
        assert_eq!(rows.len(), 1);
        let day = filled(&rows, at(24).date_naive(), at(24).date_naive(), at(500))[0];
        assert_eq!(hours(&day), (10, 8, 0));
        assert_eq!(day.outages, 2);
    }

    #[test]
    fn the_best_server_of_an_account_counts() {
        use Standing::{NoData, Offline, Online, Unknown};
        assert_eq!(Standing::best([Offline, Online, Unknown]), Online);
        assert_eq!(Standing::best([Offline, NoData]), NoData);
        assert_eq!(Standing::best([]), Unknown);
        assert_eq!(Standing::of(LineState::Online, true), NoData);
    }

    #[test]
    fn a_question_for_ages_is_cut_to_the_newest_year() {
        let (from, to) = (NaiveDate::MIN, at(0).date_naive());
        let days = filled(&[], from, to, at(1));
        assert_eq!(days.len() as u64, DAYS_MAX);
        assert_eq!(days.last().map(|day| day.day), Some(to));
    }
}
