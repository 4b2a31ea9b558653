//! What can only be seen while it happens: changes of lines.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::liveness::{HistoryRow, LineEvent, LineState, Transition};

/// Upper ends of the classes for the time from the first missed beat to OFFLINE, s: the promise is 15 s after it (20 s
/// after the last beat).
const NEUTRALISE_S: [f64; 8] = [1.0, 5.0, 10.0, 12.0, 13.0, 15.0, 20.0, 60.0];
/// The same for the length of an outage, s: a minute, ten, an hour, a day, a week.
const OUTAGE_S: [f64; 8] = [30.0, 60.0, 300.0, 600.0, 3_600.0, 14_400.0, 86_400.0, 604_800.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    to: &'static str,
    cause: &'static str,
}

/// Counted as it comes.
#[derive(Debug)]
pub struct Watched {
    changes: Family<ChangeLabels, Counter>,
    addresses: Counter,
    misses: Counter,
    neutralise: Histogram,
    outage: Histogram,
    offline_since: std::sync::Mutex<std::collections::HashMap<crate::base::EndpointId, crate::base::WallTime>>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            changes: Family::default(),
            addresses: Counter::default(),
            misses: Counter::default(),
            neutralise: Histogram::new(NEUTRALISE_S),
            outage: Histogram::new(OUTAGE_S),
            offline_since: std::sync::Mutex::default(),
        }
    }
}

impl Watched {
    /// Something happened to a line.
    pub fn handle_event(&self, event: &LineEvent) {
        match event {
            LineEvent::Changed(HistoryRow::State(row)) => self.handle_change(row),
            LineEvent::Changed(HistoryRow::Address(_)) => {
                self.addresses.inc();
            }
            LineEvent::Suspicion { is_suspect: true, .. } => {
                self.misses.inc();
            }
            LineEvent::Changed(HistoryRow::NoData(_) | HistoryRow::Interval(_))
            | LineEvent::Suspicion { is_suspect: false, .. }
            | LineEvent::Addresses { .. }
            | LineEvent::MailAccepted { .. }
            | LineEvent::MailRefused { .. }
            | LineEvent::Greeted { .. } => {}
        }
    }

    fn handle_change(&self, row: &Transition) {
        self.changes.get_or_create(&ChangeLabels { to: row.to.as_str(), cause: row.cause.as_str() }).inc();
        let mut open = self.offline_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match row.to {
            LineState::Offline => {
                let seconds = (row.at - row.since).as_seconds_f64();
                if row.from != LineState::Returning && row.at > row.since {
                    self.neutralise.observe(seconds);
                }
                open.entry(row.endpoint).or_insert(row.since);
            }
            LineState::Online => {
                if let Some(since) = open.remove(&row.endpoint) {
                    self.outage.observe((row.at - since).as_seconds_f64().max(0.0));
                }
            }
            LineState::New | LineState::Suspect | LineState::Returning => {}
        }
    }

    /// Adds these figures to a page.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("state_changes", "Changes of lines", self.changes.clone());
        registry.register("address_changes", "Addresses of lines that moved", self.addresses.clone());
        registry.register("suspicions", "Lines that missed a beat", self.misses.clone());
        registry.register(
            "neutralise_seconds",
            "From the moment the first missed beat was due to OFFLINE",
            self.neutralise.clone(),
        );
        registry.register("outage_seconds", "Length of outages that ended", self.outage.clone());
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::base::{AccountId, EndpointId, WallTime};
    use crate::liveness::Cause;

    fn at(seconds: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_800_000_000 + seconds, 0).unwrap()
    }

    fn change(from: LineState, to: LineState, when: i64, since: i64) -> LineEvent {
        let (account, endpoint, cause) = (AccountId(1), EndpointId(2), Cause::MissedBeats);
        let row = Transition { account, endpoint, from, to, cause, at: at(when), since: at(since), address: None };
        LineEvent::Changed(HistoryRow::State(row))
    }

    #[test]
    fn an_outage_is_measured_from_the_first_missed_beat_to_the_return() {
        let watched = Watched::default();
        watched.handle_event(&change(LineState::Suspect, LineState::Offline, 12, 0));
        watched.handle_event(&change(LineState::Offline, LineState::Returning, 40, 40));
        watched.handle_event(&change(LineState::Returning, LineState::Offline, 60, 50));
        watched.handle_event(&change(LineState::Offline, LineState::Online, 100, 100));
        let mut registry = Registry::default();
        watched.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in ["neutralise_seconds_sum 12.0", "neutralise_seconds_count 1", "outage_seconds_sum 100.0"] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
    }
}
