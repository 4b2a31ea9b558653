//! A drill as programs read it: over the control socket, over `/hb/drill`, on the page. Field names are an interface.

use serde::{Deserialize, Serialize};

use super::names::Judgement;
use super::record::{Record, Step};
use super::words;
use crate::alert::Language;
use crate::base::WallTime;

/// One step that was reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepShown {
    /// Which.
    pub step: Step,
    /// Milliseconds after the beginning.
    pub after_ms: u64,
    /// In words.
    pub says: String,
}

/// What the public DNS says of the domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamesShown {
    /// Of which domain.
    pub domain: String,
    /// How bad it is.
    pub judgement: Judgement,
    /// In words.
    pub says: String,
}

/// A drill of one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillShown {
    /// Whose.
    pub account: String,
    /// To whom the test message goes.
    pub to: String,
    /// When it began.
    pub started_at: WallTime,
    /// When it ended; null while it runs.
    pub ended_at: Option<WallTime>,
    /// Whether the backup was shown to work; null while it runs.
    pub passed: Option<bool>,
    /// From the end of the cut to the delivery, milliseconds; null unless it was delivered.
    pub delivered_after_ms: Option<u64>,
    /// What was reached, in its order.
    pub steps: Vec<StepShown>,
    /// What the public DNS says of the domain; null until it was looked at, and for names that are in no public DNS.
    #[serde(default)]
    pub dns: Option<NamesShown>,
    /// The whole in one line.
    pub result: String,
}

impl DrillShown {
    /// In a language.
    #[must_use]
    pub fn of(account: &str, record: &Record, language: Language) -> Self {
        let step = |reached: &super::Reached| StepShown {
            step: reached.step,
            after_ms: reached.after_ms,
            says: words::step(reached.step, language).to_owned(),
        };
        Self {
            account: account.to_owned(),
            to: record.to.clone(),
            started_at: record.started_at,
            ended_at: record.ended_at,
            passed: record.end.is_some().then(|| record.has_passed()),
            delivered_after_ms: record.delivered_after_ms(),
            steps: record.steps.iter().map(step).collect(),
            dns: record.dns.as_ref().map(|seen| NamesShown {
                domain: seen.domain.clone(),
                judgement: seen.judgement,
                says: seen.says(language).to_owned(),
            }),
            result: words::result(record, language),
        }
    }
}
