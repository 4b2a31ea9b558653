//! What a sender is to be told of its mail, and what each attempt to deliver it came to: rows beside the message.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dsn::Notify;
use super::state::{DeliveryReply, Outcome, RecipientState};
use crate::base::WallTime;

/// Attempts for one recipient that are kept for the trace; the last one is kept besides. A month of waiting has
/// thousands, and they say the same.
pub const ATTEMPTS_KEPT_MAX: u32 = 30;

/// What there is to tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// It will not be delivered.
    Failed,
    /// It went to a server that sends no notices of success (RFC 3461 §5.2.2).
    Relayed,
    /// It waits.
    Delayed,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Relayed, Self::Delayed];

    /// As stored, and as `Action` in a DSN (RFC 3464 §2.3.3).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Relayed => "relayed",
            Self::Delayed => "delayed",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored kind has an unknown word.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no kind of notice")]
pub struct NoticeKindError(String);

impl FromStr for NoticeKind {
    type Err = NoticeKindError;
    fn from_str(text: &str) -> Result<Self, NoticeKindError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| NoticeKindError(text.to_owned()))
    }
}

/// The connection over which an attempt was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// To which address.
    pub peer: SocketAddr,
    /// TLS version, cipher and key, if any.
    pub tls: Option<String>,
    /// By what the server proved itself, in words.
    pub proof: String,
    /// It offered DSN: it sends the notices that the sender asked for (RFC 3461 §5.2.1).
    pub offers_dsn: bool,
}

/// Whether the end that a recipient came to is something to tell its sender of. Whether he is told is decided later,
/// by more than this.
#[must_use]
pub fn notice_of(state: RecipientState, notify: Option<Notify>, via: Option<&Via>) -> Option<NoticeKind> {
    match state {
        RecipientState::Refused | RecipientState::Expired => Some(NoticeKind::Failed),
        RecipientState::Delivered => {
            let is_asked = matches!(notify, Some(Notify::When { success: true, .. }));
            (is_asked && via.is_some_and(|via| !via.offers_dsn)).then_some(NoticeKind::Relayed)
        }
        RecipientState::Queued | RecipientState::Claimed | RecipientState::Held => None,
    }
}

/// How an attempt is named in the trace; `None` for what was no attempt.
#[must_use]
pub const fn attempt_word(outcome: &Outcome) -> Option<(&'static str, &DeliveryReply)> {
    match outcome {
        Outcome::Delivered { reply } => Some(("delivered", reply)),
        Outcome::Deferred { reply, .. } => Some(("deferred", reply)),
        Outcome::Refused { reply } => Some(("refused", reply)),
        Outcome::Returned | Outcome::Postponed { .. } => None,
    }
}

/// Whether the attempt of this number, counted from 1, is kept.
#[must_use]
pub const fn is_attempt_kept(number: u32, outcome: &Outcome) -> bool {
    number <= ATTEMPTS_KEPT_MAX || !matches!(outcome, Outcome::Deferred { .. })
}

/// One attempt for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRow {
    /// Place in the envelope.
    pub ordinal: u32,
    /// Counted from 1.
    pub number: u32,
    /// When it ended.
    pub at: WallTime,
    /// `delivered`, `deferred`, `refused`.
    pub result: String,
    /// What the primary said, or why it said nothing.
    pub reply: DeliveryReply,
    /// Address of the primary.
    pub peer: Option<String>,
    /// TLS facts.
    pub tls: Option<String>,
    /// By what it proved itself.
    pub proof: Option<String>,
}

/// What the sender was, or is to be, told of one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeRow {
    /// Place in the envelope.
    pub ordinal: u32,
    /// What.
    pub kind: NoticeKind,
    /// Since when.
    pub at: WallTime,
    /// When it was decided, and what came of it in words; absent while it is open.
    pub done: Option<(WallTime, String)>,
}

/// All of both for one message, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// By time.
    pub attempts: Vec<AttemptRow>,
    /// By recipient.
    pub notices: Vec<NoticeRow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(offers_dsn: bool) -> Via {
        Via { peer: "192.0.2.1:25".parse().unwrap(), tls: None, proof: String::new(), offers_dsn }
    }

    #[test]
    fn success_is_told_only_where_asked_for_and_where_nobody_else_tells_it() {
        let asked = "SUCCESS,FAILURE".parse().ok();
        let delivered = RecipientState::Delivered;
        assert_eq!(notice_of(delivered, asked, Some(&via(false))), Some(NoticeKind::Relayed));
        assert_eq!(notice_of(delivered, asked, Some(&via(true))), None);
        assert_eq!(notice_of(delivered, asked, None), None);
        assert_eq!(notice_of(delivered, None, Some(&via(false))), None);
        assert_eq!(notice_of(delivered, Some(Notify::Never), Some(&via(false))), None);
        assert_eq!(notice_of(RecipientState::Queued, asked, Some(&via(false))), None);
        assert_eq!(notice_of(RecipientState::Expired, None, None), Some(NoticeKind::Failed));
    }

    #[test]
    fn the_first_attempts_and_the_last_are_kept() {
        let reply = DeliveryReply { code: None, text: "x".to_owned() };
        let later = Outcome::Deferred { until: WallTime::UNIX_EPOCH, reply: reply.clone() };
        assert!(is_attempt_kept(ATTEMPTS_KEPT_MAX, &later) && !is_attempt_kept(ATTEMPTS_KEPT_MAX + 1, &later));
        assert!(is_attempt_kept(9_999, &Outcome::Refused { reply }));
        assert_eq!(attempt_word(&Outcome::Returned), None);
    }

    #[test]
    fn kinds_are_read_as_written() {
        for kind in NoticeKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("lost".parse::<NoticeKind>().is_err());
    }
}
