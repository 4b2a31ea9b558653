//! What the post office works on: cases to be decided, mail that is to leave, and what became of it.

use bytes::Bytes;

use crate::base::{AccountId, Mailbox, ReversePath, SpoolId, WallTime};
use crate::spool::{DeliveryReply, HeaderSummary, MessageDsn, NoticeKind, RecipientDsn, RecipientState};
use crate::verdict::Verdict;

/// Open notices of one kind of one message, with all that decides whether its sender is told.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// Which message.
    pub message: SpoolId,
    /// What there is to tell.
    pub kind: NoticeKind,
    /// Since when the oldest of them is open.
    pub first_at: WallTime,
    /// Other recipients of the message are still on their way.
    pub is_unfinished: bool,
    /// When the message was accepted.
    pub accepted_at: WallTime,
    /// Its sender.
    pub reverse_path: ReversePath,
    /// It was sent with SMTPUTF8: its sender understands UTF-8 in reports (RFC 6533 §4).
    pub smtputf8: bool,
    /// `RET` and `ENVID`.
    pub dsn: MessageDsn,
    /// Bulk mail, a list's, or an automatic one.
    pub is_automatic: bool,
    /// `Subject`, `From`, `Message-ID`.
    pub header: HeaderSummary,
    /// Pieces of content; none are left once all recipients have it.
    pub chunks: u32,
    /// What was found of the sender; absent while it was not checked.
    pub verdict: Option<Verdict>,
    /// Those that the notices are about.
    pub recipients: Vec<CaseRecipient>,
}

/// One recipient of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseRecipient {
    /// Place in the envelope.
    pub ordinal: u32,
    /// Whose.
    pub account: AccountId,
    /// Forward-path.
    pub mailbox: Mailbox,
    /// What the sender wants to be told of it.
    pub dsn: RecipientDsn,
    /// Where it stands.
    pub state: RecipientState,
    /// The last reply.
    pub reply: Option<DeliveryReply>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<WallTime>,
}

/// What a mail that we send is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailKind {
    /// A DSN.
    Notice(NoticeKind),
    /// What is in quarantine, for the account's alert address.
    Digest,
    /// Trouble that somebody wants to be told of.
    Alert,
    /// Mail for the operator's own mailboxes, sent on to him.
    Operator,
}

impl MailKind {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice(kind) => kind.as_str(),
            Self::Digest => "digest",
            Self::Alert => "alert",
            Self::Operator => "operator",
        }
    }
}

impl std::str::FromStr for MailKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "digest" => Ok(Self::Digest),
            "alert" => Ok(Self::Alert),
            "operator" => Ok(Self::Operator),
            text => text.parse().map(Self::Notice).map_err(|_| format!("'{text}' is no kind of mail")),
        }
    }
}

/// A mail that is to leave. Its reverse-path is null (RFC 3464 §2, RFC 3834 §3.3): nothing ever comes back to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMail {
    /// Names what it is for; of two with the same one only the first is made.
    pub tag: String,
    /// What it is.
    pub kind: MailKind,
    /// Whose mail it is about.
    pub account: Option<AccountId>,
    /// Which message it is about.
    pub message: Option<SpoolId>,
    /// To whom; the host is always a name.
    pub recipient: Mailbox,
    /// It cannot go without SMTPUTF8.
    pub smtputf8: bool,
    /// At most [`CONTENT_OCTETS_MAX`].
    pub content: Bytes,
}

/// Octets of one mail that we send, at most: it goes out in one piece.
pub const CONTENT_OCTETS_MAX: usize = crate::spool::CHUNK_OCTETS_MAX;

/// A mail that waits to leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Row.
    pub id: i64,
    /// What.
    pub mail: NewMail,
    /// When it was made.
    pub made_at: WallTime,
    /// Attempts so far.
    pub attempts: u32,
}

/// What an attempt to send came to, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MailEnd {
    /// The next server has it.
    Sent(String),
    /// To be tried again.
    Later {
        /// Not before.
        until: WallTime,
        /// Why.
        why: String,
    },
    /// It will not be sent.
    GivenUp(String),
}

/// What was decided of a case.
#[derive(Clone, PartialEq, Debug)]
pub struct Conclusion {
    /// Which message.
    pub message: SpoolId,
    /// Which notices.
    pub kind: NoticeKind,
    /// For each recipient what is written beside its notice.
    pub results: Vec<(u32, String)>,
    /// The report, if there is to be one.
    pub mail: Option<NewMail>,
}

/// A mail as shown to people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutgoingRow {
    /// Row.
    pub id: i64,
    /// What.
    pub kind: MailKind,
    /// Whose mail it is about.
    pub account: Option<AccountId>,
    /// Which message it is about.
    pub message: Option<SpoolId>,
    /// To whom.
    pub recipient: String,
    /// When it was made.
    pub made_at: WallTime,
    /// When it is tried next, while it waits.
    pub due_at: Option<WallTime>,
    /// Attempts so far.
    pub attempts: u32,
    /// The next server has it.
    pub is_sent: bool,
    /// The last words.
    pub reply: Option<String>,
}
