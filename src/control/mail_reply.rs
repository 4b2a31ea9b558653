//! What comes back about mail: rows of the spool, one message, refused recipients.

use crate::account::AccountName;
use crate::base::WallTime;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One recipient of a message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecipientShown {
    /// Forward-path.
    pub to: String,
    /// `queued|claimed|delivered|refused`.
    pub state: String,
    /// When it is tried next.
    pub due_at: Option<WallTime>,
    /// Attempts so far.
    pub attempts: u32,
    /// When the last one ended.
    pub last_attempt_at: Option<WallTime>,
    /// Code and words of the last reply.
    pub last_reply: Option<String>,
}

/// One message of the queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MessageShown {
    /// Spool id.
    pub id: String,
    /// Whose, where all recipients are one account's.
    pub account: Option<AccountName>,
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// Sender; empty for `<>`.
    pub from: String,
    /// Recipients.
    pub recipients: Vec<RecipientShown>,
    /// Octets of content.
    pub bytes: u64,
}

/// One message with its details.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MessageDetailShown {
    /// As in the list.
    #[serde(flatten)]
    pub message: MessageShown,
    /// Who sent it to us.
    pub peer: IpAddr,
    /// What it called itself.
    pub helo: String,
    /// TLS facts.
    pub tls: Option<String>,
    /// `Message-ID` field, control characters removed.
    pub message_id: String,
    /// SHA-256 of the content, hex.
    pub sha256: String,
    /// What the DNS says of the sender; absent while it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<crate::verdict::Verdict>,
}

/// A page of the queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QueueShown {
    /// Oldest first.
    pub messages: Vec<MessageShown>,
    /// Give this as `--after` for the next page.
    pub next: Option<String>,
}

/// What became of mail from or to an address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TraceShown {
    /// Messages of the last week, oldest first.
    pub messages: Vec<MessageShown>,
    /// There were more than were looked through.
    pub is_cut: bool,
    /// Recipients refused at the door, newest first.
    pub refused: Vec<RefusedShown>,
}

/// One recipient that was refused at the door.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RefusedShown {
    /// When.
    pub at: WallTime,
    /// By whom it was sent.
    pub peer: std::net::IpAddr,
    /// What that peer called itself.
    pub helo: String,
    /// Envelope sender.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// What the peer was told.
    pub reply: String,
}
