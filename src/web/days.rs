//! Draws the last 90 days of an account as bars, and tells the same in a table for those who do not see bars.

use super::format;
use super::words::Locale;
use crate::base::WallTime;
use crate::liveness::DaySummary;
use chrono::{Datelike, Days, NaiveDate};

/// Days that are shown.
const DAYS_SHOWN: u64 = 90;
/// Height of a bar in the units of the drawing; a day is 10 wide.
const HEIGHT: f64 = 32.0;
/// The smallest part of a bar that the eye finds: an outage of a minute is drawn so high.
const PART_MIN: f64 = 2.0;

/// The last days.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Calendar {
    /// What the drawing says, in one sentence.
    pub(super) label: String,
    /// Share of the known time that the server was there; empty while nothing is known.
    pub(super) share: String,
    /// The day of the first bar.
    pub(super) begin: String,
    pub(super) bars: Vec<Bar>,
    /// Days on which something happened, newest first.
    pub(super) rows: Vec<DayRow>,
}

/// A part of a bar.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bar {
    /// `ok`, `bad`, `gap` for time without data, `none` for days before the first heartbeat, `move` for a new address.
    pub(super) tone: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) height: String,
}

/// A day in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DayRow {
    pub(super) day: String,
    pub(super) outages: String,
    pub(super) offline: String,
    pub(super) no_data: String,
    pub(super) address_changes: String,
}

/// First and last day that are shown.
pub(super) fn range(now: WallTime) -> (NaiveDate, NaiveDate) {
    let to = now.date_naive();
    (to.checked_sub_days(Days::new(DAYS_SHOWN - 1)).unwrap_or(to), to)
}

/// The calendar of these days, oldest first.
pub(super) fn calendar(days: &[DaySummary], locale: Locale) -> Calendar {
    let total = |of: fn(&DaySummary) -> u32| days.iter().map(|day| u64::from(of(day))).sum::<u64>();
    let (online, offline) = (total(|day| day.online_s), total(|day| day.offline_s));
    let outages = total(|day| day.outages);
    // Rounded down: 100 % is said only of a time without an outage.
    let share = (online * 1_000).checked_div(online + offline).map(|tenths| locale.percent(tenths)).unwrap_or_default();
    let label = if share.is_empty() {
        locale.days_unknown().to_owned()
    } else {
        locale.days_label(&share, &format::count(outages, locale))
    };
    Calendar {
        label,
        share,
        begin: days.first().map(|day| name(day.day, locale)).unwrap_or_default(),
        bars: days.iter().enumerate().flat_map(|(place, day)| bars(place, day)).collect(),
        rows: days.iter().rev().filter(|day| is_eventful(day)).map(|day| row(day, locale)).collect(),
    }
}

const fn is_eventful(day: &DaySummary) -> bool {
    day.outages > 0 || day.offline_s > 0 || day.no_data_s > 0 || day.address_changes > 0
}

fn bars(place: usize, day: &DaySummary) -> Vec<Bar> {
    let known = day.online_s + day.offline_s + day.no_data_s;
    let x = format!("{}.9", place * 10);
    let bar =
        |tone, y: f64, height: f64| Bar { tone, x: x.clone(), y: format!("{y:.1}"), height: format!("{height:.1}") };
    if known == 0 {
        return vec![bar("none", 0.0, HEIGHT)];
    }
    let part = |seconds: u32| {
        let high = f64::from(seconds) / f64::from(known) * HEIGHT;
        if seconds > 0 { high.max(PART_MIN) } else { 0.0 }
    };
    let (offline, no_data) = (part(day.offline_s), part(day.no_data_s));
    let mut list = vec![bar("ok", 0.0, HEIGHT)];
    if offline > 0.0 {
        list.push(bar("bad", 0.0, offline.min(HEIGHT)));
    }
    if no_data > 0.0 {
        list.push(bar("gap", offline.min(HEIGHT - no_data.min(HEIGHT)), no_data.min(HEIGHT)));
    }
    if day.address_changes > 0 {
        list.push(bar("move", HEIGHT - 3.0, 3.0));
    }
    list
}

fn name(day: NaiveDate, locale: Locale) -> String {
    format!("{}{} {}", day.day(), locale.pick(".", ""), locale.month(day.month()))
}

fn row(day: &DaySummary, locale: Locale) -> DayRow {
    let span = |seconds: u32| match seconds {
        0 => "–".to_owned(),
        _ => format::span(std::time::Duration::from_secs(u64::from(seconds)), locale),
    };
    DayRow {
        day: name(day.day, locale),
        outages: day.outages.to_string(),
        offline: span(day.offline_s),
        no_data: span(day.no_data_s),
        address_changes: day.address_changes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn day(online_s: u32, offline_s: u32, no_data_s: u32, outages: u32) -> DaySummary {
        let day = chrono::Utc.timestamp_opt(1_795_492_800, 0).unwrap().date_naive();
        DaySummary { day, online_s, offline_s, no_data_s, outages, address_changes: 0 }
    }

    #[test]
    fn bars_show_the_share_of_each_day_and_the_smallest_outage_is_seen() {
        let moved = DaySummary { address_changes: 1, ..day(86_400, 0, 0, 0) };
        let days = [day(0, 0, 0, 0), day(86_390, 10, 0, 1), day(43_200, 21_600, 21_600, 1), moved];
        let drawn: Vec<_> =
            calendar(&days, Locale::En).bars.into_iter().map(|bar| (bar.tone, bar.x, bar.y, bar.height)).collect();
        let bar = |tone, x: &str, y: &str, height: &str| (tone, x.to_owned(), y.to_owned(), height.to_owned());
        assert_eq!(
            drawn,
            [
                bar("none", "0.9", "0.0", "32.0"),
                bar("ok", "10.9", "0.0", "32.0"),
                bar("bad", "10.9", "0.0", "2.0"),
                bar("ok", "20.9", "0.0", "32.0"),
                bar("bad", "20.9", "0.0", "8.0"),
                bar("gap", "20.9", "8.0", "8.0"),
                bar("ok", "30.9", "0.0", "32.0"),
                bar("move", "30.9", "29.0", "3.0"),
            ]
        );
    }

    #[test]
    fn the_share_counts_known_time_only_and_never_rounds_an_outage_away() {
        let almost = calendar(&[day(86_399, 1, 0, 1), day(0, 0, 86_400, 0)], Locale::De);
        assert_eq!(almost.share, "99,9 %");
        assert_eq!(almost.rows.len(), 2);
        assert_eq!((almost.rows[1].offline.as_str(), almost.rows[1].no_data.as_str()), ("1 s", "–"));
        assert_eq!(calendar(&[day(86_400, 0, 0, 0)], Locale::En).share, "100%");
        let unknown = calendar(&[day(0, 0, 0, 0)], Locale::En);
        assert_eq!((unknown.share.as_str(), unknown.rows.len()), ("", 0));
    }

    #[test]
    fn ninety_days_end_today() {
        let now = chrono::Utc.timestamp_opt(1_795_492_800, 0).unwrap();
        let (from, to) = range(now);
        assert_eq!(((to - from).num_days(), to), (89, now.date_naive()));
    }
}
