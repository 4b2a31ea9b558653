//! Draws heartbeats and outages to scale, as numbers and paths for SVG: no style, no markup.

use std::time::Duration;

use serde::Serialize;

use super::format::{self, Stamp};
use super::history::Outage;
use super::view::{Fact, StatusFacts};
use crate::base::WallTime;

/// Time on the strip of heartbeats, at most.
const STRIP_MAX: Duration = Duration::from_secs(300);
/// Beats on the strip, at most; liveness keeps as many.
const STRIP_BEATS_MAX: u32 = 60;
/// A beat is drawn as missed once it is this late: the jitter that liveness allows.
const LATE_AFTER: Duration = Duration::from_secs(2);
/// Width of the strip in its own units.
const STRIP_WIDTH: f64 = 600.0;
/// The last minutes of heartbeats as two SVG paths, and the numbers from which the script draws them anew.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(super) struct Strip {
    pub(super) beats: Vec<i64>,
    pub(super) interval: i64,
    pub(super) window: i64,
    /// Whether the script may go on drawing beats by itself.
    pub(super) is_beating: bool,
    pub(super) beats_path: String,
    pub(super) missed_path: String,
    pub(super) begin: String,
    pub(super) label: String,
}

/// The last finished outage, drawn to scale.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Anatomy {
    pub(super) at: Stamp,
    pub(super) segments: Vec<Segment>,
    pub(super) facts: Vec<Fact>,
}

/// A piece of the bar of an outage, in units of the strip's width.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Segment {
    pub(super) tone: &'static str,
    pub(super) x: String,
    pub(super) width: String,
}

/// The strip of one line.
pub(super) fn strip(facts: &StatusFacts<'_>) -> Strip {
    let locale = facts.locale;
    let Some(line) = facts.line else { return Strip::default() };
    let interval = line.interval.max(Duration::from_millis(100));
    let window = STRIP_MAX.min(interval * STRIP_BEATS_MAX);
    let (now, step) = (facts.now.timestamp_millis(), millis(interval));
    let begin = now - millis(window);
    let beats: Vec<i64> = line.recent_beats.iter().map(WallTime::timestamp_millis).filter(|at| *at >= begin).collect();
    let is_beating = line.state.is_deliverable();
    let mut missed = Vec::new();
    let newest = line.last_beat_at.map(|at| at.timestamp_millis());
    let ends = line.recent_beats.iter().map(WallTime::timestamp_millis).chain((!is_beating).then_some(now));
    let (mut previous, mut open) = (None, 0);
    for end in ends {
        if let Some(from) = previous.or(newest.filter(|_| end == now)) {
            let due = gap(from, end, step, begin, end == now);
            if end == now {
                open = due.len();
            }
            missed.extend(due);
        }
        previous = Some(end);
    }
    Strip {
        beats_path: path(&beats, begin, window, 14, "V46"),
        missed_path: path(&missed, begin, window, 37, "l5 8m-5 0l5-8"),
        interval: step,
        window: millis(window),
        is_beating,
        begin: format!("{}{}{}", locale.ago_before(), format::round_span(window, locale), locale.ago_after()),
        label: locale.strip_label(if is_beating { missed.len() } else { open }),
        beats,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When beats were due between two events and did not come, at most as many as fit on the strip.
fn gap(from: i64, to: i64, step: i64, begin: i64, is_open: bool) -> Vec<i64> {
    let grace = if is_open { millis(LATE_AFTER).min(step / 2) } else { step / 2 };
    let skip = ((begin - from) / step).max(0);
    (skip + 1..).map(|k| from + k * step).take_while(|due| due + grace <= to).take(STRIP_BEATS_MAX as usize).collect()
}

fn path(times: &[i64], begin: i64, window: Duration, base: u8, draw: &str) -> String {
    let mut path = String::new();
    for at in times {
        path.push_str(&format!("M{} {base}{draw}", place(*at, begin, window)));
    }
    path
}

/// Where a time stands on the strip, with one decimal.
fn place(at: i64, begin: i64, window: Duration) -> String {
    let share = Duration::from_millis(u64::try_from(at - begin).unwrap_or(0)).as_secs_f64() / window.as_secs_f64();
    format!("{:.1}", (share * STRIP_WIDTH).clamp(0.0, STRIP_WIDTH))
}

/// The outage to scale; absent while it runs.
pub(super) fn anatomy(outage: &Outage, facts: &StatusFacts<'_>) -> Option<Anatomy> {
    let locale = facts.locale;
    let returned_at = outage.returned_at?;
    let confirmed_at = outage.confirmed_at.unwrap_or(returned_at);
    let duration = format::between(outage.since, returned_at);
    let margin = chrono::Duration::from_std(duration / 8).ok()?;
    let (begin, end) = (outage.since - margin, confirmed_at + margin);
    let window = format::between(begin, end).max(Duration::from_millis(1));
    let marks = [
        ("ok", begin, outage.since),
        ("warn", outage.since, outage.noticed_at),
        ("bad", outage.noticed_at, returned_at),
        ("info", returned_at, confirmed_at),
        ("ok", confirmed_at, end),
    ];
    let x = |at: WallTime| place(at.timestamp_millis(), begin.timestamp_millis(), window);
    let segments = marks
        .map(|(tone, from, to)| Segment {
            tone,
            x: x(from),
            width: place((begin + (to - from)).timestamp_millis(), begin.timestamp_millis(), window),
        })
        .to_vec();
    let fact = |name, value, tone| Fact { name, value, tone };
    let noticed = format::short_span(format::between(outage.since, outage.noticed_at), locale);
    let mut list = vec![
        fact(locale.anatomy_duration(), format::span(duration, locale), ""),
        fact(locale.anatomy_detected(), noticed, ""),
    ];
    if let Some(change) = &outage.new_address {
        list.push(fact(locale.anatomy_address(), change.to.to_string(), "mono"));
    }
    let of_this_return = facts.flush.last.as_ref().filter(|last| last.started_at >= returned_at);
    if let Some(first) = of_this_return.and_then(|last| last.first_delivery_after) {
        list.push(fact(locale.anatomy_first(), format::short_span(first, locale), ""));
    }
    Some(Anatomy { at: format::day(outage.since, locale), segments, facts: list })
}
