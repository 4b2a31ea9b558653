//! What the SMTP door has done since the start, counted for the operator: one number for each reason to say no.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::reply::{self, Reply};

/// Each reply that defers, refuses or ends a session, with its name in reports.
static REASONS: &[(&str, Reply)] = &[
    ("account_full", reply::ACCOUNT_FULL),
    ("account_suspended", reply::SUSPENDED),
    ("bad_command", reply::UNKNOWN_VERB),
    ("bad_helo", reply::BAD_HELO),
    ("bad_octets", reply::BAD_OCTETS),
    ("bad_recipient", reply::BAD_RECIPIENT),
    ("bad_sender", reply::BAD_SENDER),
    ("bad_syntax", reply::BAD_SYNTAX),
    ("bare_lf_in_command", reply::BARE_LF_COMMAND),
    ("bare_line_end", reply::BARE_LINE_END),
    ("brings_too_much", reply::BRINGS_TOO_MUCH),
    ("chunk_without_length", reply::ENDLESS_CHUNK),
    ("connects_too_often", reply::CONNECTS_TOO_OFTEN),
    ("disk_full", reply::DISK_FULL),
    ("domain_gone", reply::GONE),
    ("domain_leaving", reply::LEAVING),
    ("domain_unreadable", reply::UNREADABLE),
    ("etrn", reply::ETRN_NOT_ALLOWED),
    ("etrn_queue", reply::ETRN_NO_QUEUE),
    ("etrn_too_often", reply::ETRN_TOO_OFTEN),
    ("http", reply::NOT_HTTP),
    ("tls_at_once", reply::NOT_TLS_YET),
    ("too_big_there", reply::TOO_BIG_THERE),
    ("no_smtputf8_there", reply::NO_SMTPUTF8_THERE),
    ("tls_already", reply::TLS_ALREADY),
    ("line_too_long", reply::LINE_TOO_LONG),
    ("listed", reply::LISTED),
    ("mail_loop", reply::LOOP),
    ("mailbox_unknown", reply::NO_MAILBOX),
    ("mailbox_unverified", reply::UNVERIFIED),
    ("needs_smtputf8", reply::NEEDS_SMTPUTF8),
    ("no_postmaster", reply::NO_POSTMASTER),
    ("no_recipients", reply::NO_RECIPIENTS),
    ("not_offered", reply::NOT_OFFERED),
    ("not_served", reply::NOT_SERVED),
    ("not_stored", reply::NOT_STORED),
    ("out_of_order", reply::CHUNKS_OPEN),
    ("out_of_order", reply::EHLO_FIRST),
    ("out_of_order", reply::MAIL_FIRST),
    ("out_of_order", reply::NESTED_MAIL),
    ("place_needed", reply::PLACE_NEEDED),
    ("routed", reply::ROUTED),
    ("shutting_down", reply::SHUTTING_DOWN),
    ("talked_early", reply::TALKED_EARLY),
    ("timed_out", reply::TIMED_OUT),
    ("tls_injection", reply::TLS_INJECTION),
    ("tls_not_offered", reply::NO_TLS),
    ("too_big", reply::TOO_BIG),
    ("too_busy", reply::TOO_BUSY),
    ("too_many_commands", reply::TOO_MANY_COMMANDS),
    ("too_many_errors", reply::TOO_MANY_ERRORS),
    ("too_many_recipients", reply::TOO_MANY_RECIPIENTS),
    ("too_many_sessions", reply::TOO_MANY_SESSIONS),
    ("too_many_unknown", reply::TOO_MANY_UNKNOWN),
    ("unknown_parameter", reply::UNKNOWN_PARAMETER),
    ("use_primary", reply::USE_PRIMARY),
];

/// A reason that is missing above.
const OTHER: &str = "other";

/// Counts; shared by all sessions.
#[derive(Debug)]
pub struct Counters {
    sessions: AtomicU64,
    stored: AtomicU64,
    passed: AtomicU64,
    passed_refused: AtomicU64,
    refusals_delayed: AtomicU64,
    early_talkers: AtomicU64,
    /// In the order of [`REASONS`].
    refused: Vec<AtomicU64>,
    other: AtomicU64,
}

/// The counts of one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CountersShown {
    /// Sessions begun.
    pub sessions: u64,
    /// Messages made durable.
    pub stored: u64,
    /// Messages that the primary took while the sender waited.
    #[serde(default)]
    pub passed: u64,
    /// Messages that the primary refused while the sender waited.
    #[serde(default)]
    pub passed_refused: u64,
    /// Refusals that were held back because their peer looks for addresses.
    pub refusals_delayed: u64,
    /// Peers that talked before the greeting.
    #[serde(default)]
    pub early_talkers: u64,
    /// Replies that deferred, refused or ended a session, by reason; those that never happened are left out.
    pub refused: BTreeMap<String, u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sessions: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            passed_refused: AtomicU64::new(0),
            refusals_delayed: AtomicU64::new(0),
            early_talkers: AtomicU64::new(0),
            refused: REASONS.iter().map(|_| AtomicU64::new(0)).collect(),
            other: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A session has begun.
    pub fn session(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// A message is ours.
    pub fn stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// The primary has a message that nothing was stored of.
    pub fn passed(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// The primary did not take one, and its sender knows.
    pub fn passed_refused(&self) {
        self.passed_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A refusal waits.
    pub fn refusal_delayed(&self) {
        self.refusals_delayed.fetch_add(1, Ordering::Relaxed);
    }

    /// A peer did not wait for the greeting.
    pub fn early_talker(&self) {
        self.early_talkers.fetch_add(1, Ordering::Relaxed);
    }

    /// This was said; only errors count.
    pub fn said(&self, reply: &Reply) {
        if reply.is_error() {
            let place = REASONS.iter().position(|(_, known)| known == reply);
            let count = place.and_then(|place| self.refused.get(place)).unwrap_or(&self.other);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All counts. They move on while they are read.
    #[must_use]
    pub fn shown(&self) -> CountersShown {
        let mut refused = BTreeMap::new();
        let names = REASONS.iter().map(|(name, _)| *name).chain([OTHER]);
        for (name, count) in names.zip(self.refused.iter().chain([&self.other])) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                *refused.entry(name.to_owned()).or_default() += count;
            }
        }
        CountersShown {
            sessions: self.sessions.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
            passed: self.passed.load(Ordering::Relaxed),
            passed_refused: self.passed_refused.load(Ordering::Relaxed),
            refusals_delayed: self.refusals_delayed.load(Ordering::Relaxed),
            early_talkers: self.early_talkers.load(Ordering::Relaxed),
            refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_counted_under_its_reason_and_success_under_none() {
        let counters = Counters::default();
        for said in [&reply::NOT_SERVED, &reply::NOT_SERVED, &reply::OK, &reply::MAIL_FIRST, &reply::EHLO_FIRST] {
            counters.said(said);
        }
        counters.said(&Reply::new(450, "4.0.0", "something new"));
        let refused: Vec<(String, u64)> = counters.shown().refused.into_iter().collect();
        let expected = [("not_served", 2), ("other", 1), ("out_of_order", 2)];
        assert_eq!(refused, expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn no_two_reasons_have_the_same_reply() {
        for (at, (name, reply)) in REASONS.iter().enumerate() {
            assert!(reply.is_error(), "{name}");
            assert_eq!(REASONS.iter().position(|(_, other)| other == reply), Some(at), "{name}");
        }
    }
}
