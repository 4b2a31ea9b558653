//! What is known of a drill, while it runs and afterwards.

use serde::{Deserialize, Serialize};

use super::names::{Judgement, NamesSeen};
use crate::base::WallTime;

/// What was reached, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Mail of the account finds no way to its server.
    Cut,
    /// Our port 25 took the message.
    Sent,
    /// It waits in the spool.
    Held,
    /// The way is open again.
    Mended,
    /// The customer's server took it.
    Delivered,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Cut, Self::Sent, Self::Held, Self::Mended, Self::Delivered];
}

/// A step and when it was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub step: Step,
    /// Milliseconds after the beginning.
    pub after_ms: u64,
}

/// Where a drill failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Our own port 25 did not take the message.
    Door,
    /// The message was taken and does not wait in the spool.
    Spool,
    /// The heartbeats stopped meanwhile.
    Line,
    /// The mail server cannot be connected to, or broke the connection off.
    Port,
    /// Who answers is not proven to be the customer's server.
    Identity,
    /// Too big for the mail server.
    Size,
    /// Put off by greylisting.
    Greylisting,
    /// Put off for another reason.
    Deferred,
    /// The mail server does not know the mailbox.
    Mailbox,
    /// Refused for another reason.
    Refused,
    /// No outcome in time.
    Silence,
    /// A person took the message away or keeps it back.
    Person,
    /// A fault of this service, or its end.
    Service,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum End {
    /// The message arrived.
    Passed {
        /// What spoke for the server, in the words of delivery.
        proof: String,
        /// Its pinned key, `sha256:` with hexadecimal digits; absent without TLS.
        key: Option<String>,
    },
    /// It did not.
    Failed {
        /// Where.
        gate: Gate,
        /// What was said or seen there; may hold words of others.
        reason: String,
    },
    /// The service stopped in the middle; the message was delivered as any other.
    Interrupted,
}

/// One drill. The last one of each account is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When it began.
    pub started_at: WallTime,
    /// To whom the message was sent.
    pub to: String,
    /// Who began it.
    pub who: String,
    /// What was reached so far.
    pub steps: Vec<Reached>,
    /// When it ended; absent while it runs.
    pub ended_at: Option<WallTime>,
    /// How it ended; absent while it runs.
    pub end: Option<End>,
    /// What the public DNS says of the domain; absent until it was looked at, and for names that are in no public DNS.
    #[serde(default)]
    pub dns: Option<NamesSeen>,
}

impl Record {
    /// When a step was reached, milliseconds after the beginning.
    #[must_use]
    pub fn reached_ms(&self, step: Step) -> Option<u64> {
        self.steps.iter().find(|reached| reached.step == step).map(|reached| reached.after_ms)
    }

    /// From the end of the cut to the delivery, milliseconds.
    #[must_use]
    pub fn delivered_after_ms(&self) -> Option<u64> {
        Some(self.reached_ms(Step::Delivered)?.saturating_sub(self.reached_ms(Step::Mended)?))
    }

    /// Whether the test message arrived.
    #[must_use]
    pub const fn has_arrived(&self) -> bool {
        matches!(self.end, Some(End::Passed { .. }))
    }

    /// Whether the backup was shown to work: the test message arrived, and nothing in the DNS leads the mail of others past
    /// us or past the customer's server.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.has_arrived() && self.dns.as_ref().is_none_or(|seen| seen.judgement != Judgement::Bad)
    }
}
