//! Answers about what became of mail, and how they are printed.

use serde::{Deserialize, Serialize};

use super::print::{safe, table, time};
use crate::account::AccountName;
use crate::base::WallTime;

/// One thing that happened to a message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StepShown {
    /// When; absent where only the fact is known.
    pub at: Option<WallTime>,
    /// `accepted`, `checked`, `delivered`, `deferred`, `refused`, `notice`, `report`.
    pub what: String,
    /// Which recipient, where it is about one.
    pub to: Option<String>,
    /// Number of the attempt, counted from 1.
    pub attempt: Option<u32>,
    /// In words: the primary's reply with its code, what was found, what was decided.
    pub words: String,
    /// Address of the other side.
    pub peer: Option<String>,
    /// TLS facts.
    pub tls: Option<String>,
    /// By what the primary proved itself.
    pub proof: Option<String>,
}

/// Everything that happened to a message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MessageTraceShown {
    /// Spool id.
    pub id: String,
    /// Sender; empty for `<>`.
    pub from: String,
    /// In order of time.
    pub steps: Vec<StepShown>,
}

/// One mail of our own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OutgoingShown {
    /// Its number.
    pub id: i64,
    /// `failed`, `relayed`, `delayed`, `digest`.
    pub kind: String,
    /// Whose mail it is about.
    pub account: Option<AccountName>,
    /// Which message it is about.
    pub message: Option<String>,
    /// To whom.
    pub to: String,
    /// When it was made.
    pub made_at: WallTime,
    /// `waiting`, `sent`, `given up`.
    pub state: String,
    /// When it is tried next.
    pub due_at: Option<WallTime>,
    /// Attempts so far.
    pub attempts: u32,
    /// The last words.
    pub last_words: Option<String>,
}

/// One recipient of a message in an outage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OutageRowShown {
    /// Spool id.
    pub id: String,
    /// When it came.
    pub accepted_at: WallTime,
    /// Sender; empty for `<>`.
    pub from: String,
    /// Forward-path.
    pub to: String,
    /// Octets of content.
    pub bytes: u64,
    /// Where it stands.
    pub state: String,
    /// When it went; absent while it is here.
    pub ended_at: Option<WallTime>,
    /// The primary's last reply.
    pub last_reply: Option<String>,
}

/// Every message of an outage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OutageShown {
    /// Whose.
    pub account: AccountName,
    /// Begin.
    pub since: WallTime,
    /// End; absent while it lasts.
    pub until: Option<WallTime>,
    /// A row for each recipient, in order of arrival.
    pub messages: Vec<OutageRowShown>,
    /// There are more than are shown.
    pub is_cut: bool,
}

/// The answer to `queue trace`.
pub(super) fn trace(shown: &MessageTraceShown) -> String {
    let from = if shown.from.is_empty() { "<>".to_owned() } else { safe(&shown.from) };
    let mut text = format!("{} from {from}\n", shown.id);
    for step in &shown.steps {
        let at = step.at.map_or_else(|| " ".repeat(20), time);
        let number = step.attempt.map(|number| format!(" (attempt {number})")).unwrap_or_default();
        let to = step.to.as_ref().map(|to| format!(" {}", safe(to))).unwrap_or_default();
        text.push_str(&format!("{at}  {}{number}{to}: {}\n", step.what, safe(&step.words)));
        let facts: Vec<String> = [("peer", &step.peer), ("tls", &step.tls), ("proof", &step.proof)]
            .iter()
            .filter_map(|(name, fact)| fact.as_ref().map(|fact| format!("{name} {}", safe(fact))))
            .collect();
        if !facts.is_empty() {
            text.push_str(&format!("{}    {}\n", " ".repeat(20), facts.join(", ")));
        }
    }
    text
}

/// The answer to `queue outgoing`.
pub(super) fn outgoing(shown: &[OutgoingShown]) -> String {
    if shown.is_empty() {
        return "no mail of our own\n".to_owned();
    }
    let mut rows = vec![["MADE", "KIND", "TO", "ABOUT", "STATE", "TRIES", "LAST WORDS"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|mail| {
        let about = mail.message.clone().or_else(|| mail.account.as_ref().map(ToString::to_string));
        vec![
            time(mail.made_at),
            mail.kind.clone(),
            safe(&mail.to),
            about.unwrap_or_default(),
            mail.state.clone(),
            mail.attempts.to_string(),
            mail.last_words.as_deref().map(safe).unwrap_or_default(),
        ]
    }));
    table(&rows)
}

/// The answer to `report outage`.
pub(super) fn outage(shown: &OutageShown) -> String {
    let until = shown.until.map_or_else(|| "now".to_owned(), time);
    let mut text =
        format!("{}: {} to {until}, {} recipients\n", shown.account, time(shown.since), shown.messages.len());
    let mut rows = vec![["ID", "IN", "OUT", "FROM", "TO", "STATE", "LAST REPLY"].map(str::to_owned).to_vec()];
    rows.extend(shown.messages.iter().map(|row| {
        vec![
            row.id.clone(),
            time(row.accepted_at),
            row.ended_at.map_or_else(|| "-".to_owned(), time),
            if row.from.is_empty() { "<>".to_owned() } else { safe(&row.from) },
            safe(&row.to),
            row.state.clone(),
            row.last_reply.as_deref().map(safe).unwrap_or_default(),
        ]
    }));
    text.push_str(&table(&rows));
    if shown.is_cut {
        text.push_str("there are more; ask again with --since\n");
    }
    text
}
