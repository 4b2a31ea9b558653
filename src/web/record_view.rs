//! Turns records, required and found, into rows of the pages: what to copy, what stands there, how that is judged.

use serde::Serialize;

use super::domain_pages::Wanted;
use super::format;
use super::words::Locale;
use crate::alert::Language;
use crate::base::DomainName;
use crate::survey::matter::Record;
use crate::survey::standing::Row;
use crate::survey::{Finding, Level, standing_words};

/// One record. A field to copy is empty where nothing has to be entered.
#[derive(Debug, Serialize)]
pub(super) struct RecordRow {
    pub(super) tone: &'static str,
    pub(super) kind: &'static str,
    pub(super) owner: String,
    pub(super) priority: String,
    pub(super) value: String,
    /// Where nothing has to be entered: whose record it is.
    pub(super) about: String,
    /// Empty where nobody looked.
    pub(super) found: String,
    pub(super) verdict: String,
    pub(super) hint: &'static str,
    /// Names of the fields for those who do not see them.
    pub(super) label_owner: String,
    pub(super) label_priority: String,
    pub(super) label_value: String,
}

/// What else was found, in words.
#[derive(Debug, Serialize)]
pub(super) struct Remark {
    pub(super) tone: &'static str,
    pub(super) what: String,
    pub(super) fix: String,
    /// That mends it; empty for none.
    pub(super) record: String,
}

/// How a whole domain stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) tone: &'static str,
    pub(super) says: &'static str,
}

impl Badge {
    pub(super) const fn of(tone: &'static str, says: &'static str) -> Self {
        let class = match tone.as_bytes() {
            b"ok" => "badge tone-ok",
            b"bad" => "badge tone-bad",
            b"warn" => "badge tone-warn",
            _ => "badge tone-none",
        };
        Self { class, tone, says }
    }
}

const fn language(l: Locale) -> Language {
    match l {
        Locale::De => Language::De,
        Locale::En => Language::En,
    }
}

const fn tone(level: Option<Level>) -> &'static str {
    match level {
        None => "none",
        Some(Level::Fine) => "ok",
        Some(Level::Warning) => "warn",
        Some(Level::Broken) => "bad",
    }
}

impl RecordRow {
    /// With what is to be copied of `data`.
    fn entered(owner: &str, kind: &'static str, data: &str, l: Locale) -> Self {
        let (priority, value) = if kind == "MX" { data.split_once(' ').unwrap_or(("", data)) } else { ("", data) };
        let about = |field: &str| format!("{field}, {kind} {priority} {owner}").replace("  ", " ");
        Self {
            tone: "none",
            kind,
            label_owner: about(l.record_name()),
            label_priority: about(l.record_priority()),
            label_value: about(l.record_value()),
            owner: owner.to_owned(),
            priority: priority.to_owned(),
            value: value.to_owned(),
            about: String::new(),
            found: String::new(),
            verdict: String::new(),
            hint: "",
        }
    }

    /// Before anybody looked: what stands in a zone of ours is known all the same.
    pub(super) fn wanted(domain: &DomainName, wanted: &Wanted, l: Locale) -> Self {
        let (tone, verdict) = match wanted.found {
            None => ("none", l.record_foreign()),
            Some(true) => ("ok", l.record_found()),
            Some(false) => ("bad", l.record_missing()),
        };
        let data = format!("{} {}.", wanted.preference, wanted.target);
        Self { tone, verdict: verdict.to_owned(), ..Self::entered(&format!("{domain}."), "MX", &data, l) }
    }

    /// For the template that open pages make new rows of.
    pub(super) fn blank() -> Self {
        Self::entered("", "", "", Locale::En)
    }

    /// Of a proposal.
    pub(super) fn proposed(record: &Record, l: Locale) -> Self {
        Self::entered(&record.name, record.kind, &record.data, l)
    }

    /// As it was seen.
    pub(super) fn seen(row: &Row, l: Locale) -> Self {
        let said = standing_words::of(row, language(l));
        let entered = if row.is_entered {
            Self::entered(&row.owner, row.kind, &row.wanted, l)
        } else {
            let blank = Self::entered("", row.kind, "", l);
            let wanted = if row.wanted.is_empty() { String::new() } else { format!(" → {}", row.wanted) };
            Self { about: format!("{}{wanted}", row.owner), ..blank }
        };
        let found = match (row.found.is_empty(), row.ttl_s) {
            (true, _) if row.verdict.level().is_none() => String::new(),
            (true, _) => l.record_nothing().to_owned(),
            (false, None) => format::visible(&row.found),
            (false, Some(ttl)) => format!("{} (TTL {ttl} s)", format::visible(&row.found)),
        };
        Self {
            tone: tone(row.verdict.level()),
            found,
            verdict: format::visible(&said.verdict),
            hint: said.hint,
            ..entered
        }
    }
}

impl Remark {
    /// For the template that open pages make new rows of.
    pub(super) const fn blank() -> Self {
        Self { tone: "none", what: String::new(), fix: String::new(), record: String::new() }
    }

    pub(super) fn of(finding: &Finding, l: Locale) -> Self {
        let words = finding.words(language(l));
        let sentence = |text: &str| {
            let mut letters = text.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
        };
        let fix = if words.fix.is_empty() { String::new() } else { format!("{}.", sentence(words.fix)) };
        let record = finding.records.first().map(|r| format!("{} {} {}", r.name, r.kind, r.data)).unwrap_or_default();
        Self { tone: tone(Some(finding.matter.level())), record, what: sentence(&format::visible(&words.what)), fix }
    }
}
