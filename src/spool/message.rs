//! A message on its way into and out of the spool.

use std::net::IpAddr;

use bytes::Bytes;

use super::dsn::{MessageDsn, RecipientDsn};
use crate::base::{AccountId, LocalPart, Mailbox, ReversePath, SpoolId, WallTime};

/// What the sender declared of the content (RFC 6152 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyType {
    /// `BODY=7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// Header fields for the eyes of the customer: cut to length, control characters removed, never interpreted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderSummary {
    /// Raw `Subject`, at most 255 octets.
    pub subject: String,
    /// Raw `From`, at most 255 octets.
    pub from: String,
    /// Raw `Message-ID`, at most 255 octets.
    pub message_id: String,
    /// Said to be bulk mail, a list's or an automatic one (RFC 2076 §3.9, RFC 2919 §3, RFC 3834 §5): delivered last.
    pub is_bulk: bool,
}

/// One recipient as accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecipient {
    /// Whose mail it is.
    pub account: AccountId,
    /// The forward-path; its host is always a name.
    pub mailbox: Mailbox,
    /// What the sender wants to be told of it.
    pub dsn: RecipientDsn,
}

impl NewMessage {
    /// Whether it is delivered after all other mail: bulk, lists, and reports (they have no reverse-path).
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.header.is_bulk || matches!(self.reverse_path, ReversePath::Null)
    }
}

impl NewRecipient {
    /// Whether this is the same mailbox, whatever is wanted for it.
    #[must_use]
    pub fn is_same_mailbox(&self, other: &Self) -> bool {
        self.account == other.account && self.mailbox == other.mailbox
    }
}

/// A message that is complete and may be made durable.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Given by the session before the first chunk.
    pub id: SpoolId,
    /// When the final dot was read.
    pub accepted_at: WallTime,
    /// Envelope sender.
    pub reverse_path: ReversePath,
    /// Envelope recipients in order; at least one.
    pub recipients: Vec<NewRecipient>,
    /// `SMTPUTF8` was asked for (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `REQUIRETLS` was asked for: it leaves over proven TLS only (RFC 8689 §4.2.1).
    pub requires_tls: bool,
    /// `BODY=`.
    pub body: BodyType,
    /// `RET` and `ENVID`.
    pub dsn: MessageDsn,
    /// Trace fields that go before the content: our `Received`, each line ended by CRLF.
    pub trace: Bytes,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Octets of the content, without the trace.
    pub octets: u64,
    /// For the list of the page.
    pub header: HeaderSummary,
    /// Who sent it to us.
    pub peer: IpAddr,
    /// What the peer called itself.
    pub helo: String,
    /// TLS version and cipher, if any.
    pub tls: Option<String>,
    /// How many pieces [`intake_chunk`](super::SpoolStore::intake_chunk) took ahead.
    pub chunks_ahead: u32,
    /// The remaining pieces; their ordinals begin at `chunks_ahead`. Each at most [`CHUNK_OCTETS_MAX`](super::CHUNK_OCTETS_MAX).
    pub tail: Vec<Bytes>,
}

/// A recipient that is to be delivered now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimedRecipient {
    /// Place in the envelope; names the recipient in a report.
    pub ordinal: u32,
    /// Where to.
    pub mailbox: Mailbox,
    /// See [`NewRecipient::dsn`].
    pub dsn: RecipientDsn,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them that ended with a 5yz that was not believed yet.
    pub refusals: u32,
    /// The primary took mail for it before.
    pub is_known_good: bool,
}

/// A message taken out of the queue for one attempt, until it is reported on or the service restarts.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Which.
    pub id: SpoolId,
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// Envelope sender.
    pub reverse_path: ReversePath,
    /// See [`NewMessage::smtputf8`].
    pub smtputf8: bool,
    /// See [`NewMessage::requires_tls`].
    pub requires_tls: bool,
    /// See [`NewMessage::body`].
    pub body: BodyType,
    /// See [`NewMessage::dsn`].
    pub dsn: MessageDsn,
    /// See [`NewMessage::trace`].
    pub trace: Bytes,
    /// See [`NewMessage::sha256`].
    pub sha256: [u8; 32],
    /// See [`NewMessage::octets`].
    pub octets: u64,
    /// Pieces of content, numbered from 0.
    pub chunks: u32,
    /// See [`NewMessage::peer`].
    pub peer: IpAddr,
    /// See [`NewMessage::helo`].
    pub helo: String,
    /// The due recipients of the claimed account, in the order of the envelope.
    pub recipients: Vec<ClaimedRecipient>,
}

impl ClaimedRecipient {
    /// The part before the `@`.
    #[must_use]
    pub const fn local_part(&self) -> &LocalPart {
        &self.mailbox.local_part
    }
}
