//! Which states may a spooled message have, and what does a crash leave?
//!
//! ```text
//! (chunks ahead) --commit--> queued --claim--> claimed --report--> delivered   content deleted with the last one
//!       |                      ^  ^               |  |
//!   swept at start             |  '---deferred----'  '---> refused   kept and shown, removed after its quarantine
//!                              '------ restart, operator's retry (refused and expired too)
//!
//! queued --a person--> held --a person--> queued        queued --time--> expired   kept as refused ones are
//!
//! What a person keeps back does not expire: whoever held it decides.
//! ```
//!
//! A crash leaves `claimed` recipients: nobody knows whether the primary has them. They return to `queued` at the
//! next start and may be delivered twice, never zero times (RFC 1047).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::WallTime;

/// Where one recipient of one message stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientState {
    /// Waits for its time.
    Queued,
    /// In the hands of a delivery.
    Claimed,
    /// A person keeps it back.
    Held,
    /// The primary took it: the end.
    Delivered,
    /// The primary refused it for good. Kept with its content until a person decides.
    Refused,
    /// The primary did not return in time. Kept with its content like a refused one.
    Expired,
}

impl RecipientState {
    /// All states.
    pub const ALL: [Self; 6] = [Self::Queued, Self::Claimed, Self::Held, Self::Delivered, Self::Refused, Self::Expired];

    /// As stored and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// Whether this recipient is still to be delivered, by itself or once a person says so.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Claimed | Self::Held)
    }

    /// Whether it is in quarantine: kept and shown, and removed when its time is over.
    #[must_use]
    pub const fn is_quarantined(self) -> bool {
        matches!(self, Self::Refused | Self::Expired)
    }
}

impl fmt::Display for RecipientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored state has an unknown word.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not the state of a recipient")]
pub struct RecipientStateError(String);

impl FromStr for RecipientState {
    type Err = RecipientStateError;
    fn from_str(text: &str) -> Result<Self, RecipientStateError> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| RecipientStateError(text.to_owned()))
    }
}

/// What the primary said, or why it said nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeliveryReply {
    /// Reply code; absent when the connection failed before one came.
    pub code: Option<u16>,
    /// Text, cut to 500 characters, control characters removed.
    pub text: String,
}

/// How one attempt ended for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// 2yz after the final dot.
    Delivered {
        /// The primary's words.
        reply: DeliveryReply,
    },
    /// To be tried again at `until`, or with the next return of the primary.
    Deferred {
        /// Not before.
        until: WallTime,
        /// Why.
        reply: DeliveryReply,
    },
    /// Refused for good.
    Refused {
        /// The primary's words.
        reply: DeliveryReply,
    },
    /// The attempt never came to it: back to its place in the queue, not counted as an attempt.
    Returned,
    /// The attempt said nothing about it: back to the queue behind what was due before `until`, not counted as an
    /// attempt.
    Postponed {
        /// Not before.
        until: WallTime,
    },
}
