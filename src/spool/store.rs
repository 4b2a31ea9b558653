//! What the spool asks of a storage engine.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::hold::{DotNote, Expiry, ExpiryTerms, Hold, OldestWaiting, Ruling};
use super::message::{Claimed, NewMessage};
use super::state::{DeliveryReply, Outcome, RecipientState};
use crate::account::Change;
use crate::base::{AccountId, DomainName, SpoolId, WallTime};

/// The engine failed. None of these loses mail: what was stored stays stored.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A read or write failed.
    #[error("the spool failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Free space is down to the reserve; nothing was written.
    #[error("free disk space is down to the reserve (spool.reserve)")]
    NoRoom,
    /// The piece of content is not there.
    #[error("a piece of content of message {0} is missing")]
    ChunkMissing(SpoolId),
}

/// Why a message did not become ours. The sender still has it and is told to come again with a 4yz.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Certainly not stored.
    #[error("commit of the spool failed: {0}")]
    NotStored(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The commit may or may not have reached the disk; [`SpoolStore::intake_status`] tells later. The sender is
    /// told to come again: a duplicate is the lesser evil.
    #[error("nobody knows whether the commit of the spool succeeded: {0}")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whether a message is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntakeStatus {
    /// It is ours.
    Committed,
    /// It is not.
    Absent,
}

/// In which order claims are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimOrder {
    /// Messages accepted at `fresh_since` or later first, in order of arrival; then what was never tried, oldest first,
    /// then the others by the time since when they are due; bulk mail and reports after all others.
    FreshFirst {
        /// Younger mail is fresh.
        fresh_since: WallTime,
    },
    /// What was never tried first, oldest message first, then by due time; bulk mail and reports last.
    OldestFirst,
    /// One message to try a server with: the smallest fresh one with a known-good recipient, else the smallest with
    /// one, else the smallest; chosen from the first [`CANARY_ROWS_MAX`].
    Canary {
        /// Younger mail is fresh.
        fresh_since: WallTime,
    },
}

/// Recipients among which a canary is looked for.
pub const CANARY_ROWS_MAX: u32 = 200;

/// Which messages a delivery wants.
#[derive(Clone, Debug)]
pub struct ClaimQuery {
    /// Whose.
    pub account: AccountId,
    /// Only recipients in these domains; empty for all.
    pub domains: Vec<DomainName>,
    /// Recipients due at this time.
    pub now: WallTime,
    /// At most so many messages.
    pub messages_max: u32,
    /// Stops after the message that crosses this many octets of content (at least one is returned).
    pub octets_max: u64,
    /// In which order.
    pub order: ClaimOrder,
}

/// What became of one claimed message.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub id: SpoolId,
    /// By ordinal; recipients of the same claim that are not named count as [`Outcome::Returned`]. A report that names
    /// nobody ends no claim: another account may have one on the same message.
    pub outcomes: Vec<(u32, Outcome)>,
}

/// What an account holds. Kept in memory by the engine: cheap to ask, exact within one commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Usage {
    /// Messages with a recipient that waits.
    pub waiting: u64,
    /// Messages without a waiting and with a refused recipient.
    pub refused: u64,
    /// Octets of content of both.
    pub octets: u64,
}

/// Conservation: counters that intake and reports keep, beside what the rows say. Counted per recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Counter: recipients ever accepted.
    pub accepted: u64,
    /// Counter: recipients ever delivered.
    pub delivered: u64,
    /// Counter: recipients removed by a person, or with the account.
    pub deleted: u64,
    /// Counter: recipients removed after their quarantine.
    pub expired: u64,
    /// Rows: recipients queued, claimed or kept back now.
    pub waiting: u64,
    /// Rows: recipients in quarantine now, refused or expired.
    pub refused: u64,
}

impl Tally {
    /// Accepted = delivered + deleted + expired + waiting + refused.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.delivered + self.deleted + self.expired + self.waiting + self.refused
    }
}

/// Which rows a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StateFilter {
    /// Everything not delivered.
    #[default]
    Held,
    /// With a waiting recipient.
    Waiting,
    /// With a recipient in quarantine.
    Refused,
    /// Delivered to all.
    Delivered,
    /// All.
    Any,
}

/// Where the next page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListCursor(pub SpoolId);

/// A question for a list, oldest first.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// One account or all.
    pub account: Option<AccountId>,
    /// Which states.
    pub filter: StateFilter,
    /// Continue behind this message.
    pub after: Option<ListCursor>,
    /// Rows, at most 1,000.
    pub limit: u32,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Which.
    pub id: SpoolId,
    /// When accepted.
    pub accepted_at: WallTime,
    /// Sender, empty for the null reverse-path.
    pub reverse_path: String,
    /// Octets of content.
    pub octets: u64,
    /// Raw subject.
    pub subject: String,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// TLS facts, if any.
    pub tls: Option<String>,
    /// Recipients of the account asked for.
    pub recipients: Vec<RecipientRow>,
}

/// One recipient in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRow {
    /// Place in the envelope.
    pub ordinal: u32,
    /// Whose.
    pub account: AccountId,
    /// Forward-path.
    pub mailbox: String,
    /// Where it stands.
    pub state: RecipientState,
    /// When it is tried next, for waiting ones.
    pub due_at: Option<WallTime>,
    /// Attempts that came to a reply or a failure.
    pub attempts: u32,
    /// The last reply.
    pub last_reply: Option<DeliveryReply>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<WallTime>,
}

/// One message with everything known of it but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageDetail {
    /// As in the list.
    pub row: MessageRow,
    /// Raw `From` field.
    pub header_from: String,
    /// Raw `Message-ID` field.
    pub message_id: String,
    /// Sending host.
    pub peer: std::net::IpAddr,
    /// What it called itself.
    pub helo: String,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Our trace fields.
    pub trace: Bytes,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Rows, oldest first.
    pub rows: Vec<MessageRow>,
    /// Set when there is more.
    pub next: Option<ListCursor>,
}

/// What a person wants tried again.
#[derive(Clone, Debug)]
pub enum RetrySelection {
    /// All queued, refused and expired recipients of an account.
    Account(AccountId),
    /// The same of one message.
    Message(SpoolId),
}

/// What a crash left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Recipients whose claims went back.
    pub claimed: u64,
    /// Messages of these that may arrive twice: at most one for each connection that was open.
    pub doubtful: Vec<DotNote>,
}

/// The durable spool.
///
/// `Ok` of [`intake_commit`](Self::intake_commit) means on disk and synced. Reports and claims need to survive the
/// death of the process, not of the machine: a lost one costs a duplicate, never mail.
#[async_trait]
pub trait SpoolStore: Send + Sync {
    /// Stores a piece of content ahead of the commit, durable no later than it. Pieces are numbered from 0.
    async fn intake_chunk(&self, id: SpoolId, ordinal: u32, bytes: Bytes) -> Result<(), SpoolError>;
    /// Makes the message, its recipients and remaining pieces durable in one step, grouped with other commits.
    async fn intake_commit(&self, message: NewMessage) -> Result<(), CommitError>;
    /// As [`intake_commit`](Self::intake_commit), for a message whose final dot was sent to the primary already: its
    /// recipients are claimed by whoever waits for the reply, and reports it; the note is made in the same step. An
    /// engine without it delivers such a message twice, and never not at all.
    async fn intake_awaited(&self, message: NewMessage, note: DotNote) -> Result<(), CommitError> {
        let _ = note;
        self.intake_commit(message).await
    }
    /// Keeps the envelope of a message that the primary took while its sender waited: it counts as accepted and
    /// delivered, with this reply for each recipient. Its content is not kept, pieces stored ahead are removed. Need not
    /// survive the machine: what is lost is a line of history.
    async fn record_passed(&self, message: NewMessage, reply: DeliveryReply, now: WallTime) -> Result<(), SpoolError> {
        let _ = (reply, now);
        self.intake_abandon(message.id).await
    }
    /// Removes the pieces of a message that will not be committed.
    async fn intake_abandon(&self, id: SpoolId) -> Result<(), SpoolError>;
    /// Whether the message is stored.
    async fn intake_status(&self, id: SpoolId) -> Result<IntakeStatus, SpoolError>;
    /// Takes due recipients out of the queue, in the order asked for. What was tried in vain goes behind everything of
    /// its class that waits, so that it holds nothing up.
    async fn claim(&self, query: ClaimQuery) -> Result<Vec<Claimed>, SpoolError>;
    /// Ends claims and notes that the final dots of others may be sent now. One transaction. Content goes with the
    /// last delivered recipient.
    async fn settle(&self, reports: Vec<Report>, notes: Vec<DotNote>, now: WallTime) -> Result<(), SpoolError>;
    /// Ends claims. All outcomes of one call are one transaction.
    async fn report(&self, reports: Vec<Report>, now: WallTime) -> Result<(), SpoolError> {
        self.settle(reports, Vec::new(), now).await
    }
    /// Carries out what a person says about one message, with an audit row for each account concerned. Returns how
    /// many recipients that changed.
    async fn rule(&self, id: SpoolId, ruling: Ruling, change: Change) -> Result<u64, SpoolError>;
    /// Every account whose flush is stopped.
    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError>;
    /// Stops the flush of an account, or lets it go on; with an audit row.
    async fn set_hold(&self, account: AccountId, hold: Option<Hold>, change: Change) -> Result<(), SpoolError>;
    /// Puts mail that waited too long into quarantine and removes what was there for long enough.
    async fn expire(&self, terms: ExpiryTerms, now: WallTime) -> Result<Expiry, SpoolError>;
    /// The oldest waiting message of each account that has one.
    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError>;
    /// When the account's next recipient is due (the past if it is due already; 1970 if it was never tried, whatever
    /// the clock said when it was accepted).
    async fn next_due(&self, account: AccountId) -> Result<Option<WallTime>, SpoolError>;
    /// Makes everything queued of an account due now: the primary is back.
    async fn make_due(&self, account: AccountId, now: WallTime) -> Result<u64, SpoolError>;
    /// One piece of content.
    async fn body_chunk(&self, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError>;
    /// The first piece of content of each of these messages, in their order; `None` where it is not there.
    async fn heads(&self, ids: Vec<SpoolId>) -> Result<Vec<Option<Bytes>>, SpoolError> {
        let mut heads = Vec::with_capacity(ids.len());
        for id in ids {
            heads.push(match self.body_chunk(id, 0).await {
                Ok(piece) => Some(piece),
                Err(SpoolError::ChunkMissing(_)) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(heads)
    }
    /// Rows for people.
    async fn list(&self, query: ListQuery) -> Result<ListPage, SpoolError>;
    /// One message.
    async fn show(&self, id: SpoolId) -> Result<Option<MessageDetail>, SpoolError>;
    /// Queues queued, refused and expired recipients for now, with an audit row. Returns how many. Claimed ones and
    /// those that a person keeps back are left alone.
    async fn retry(&self, selection: RetrySelection, change: Change) -> Result<u64, SpoolError>;
    /// What the account holds.
    fn usage(&self, account: AccountId) -> Usage;
    /// What one account may hold now that the disk is rather full: free space by accounts with mail, in octets, so
    /// that one flood does not stop all others. Absent while there is plenty.
    fn fair_share(&self) -> Option<u64> {
        None
    }
    /// Octets of mail that may still be taken before free space falls below the reserve. Answers at once; an engine
    /// that has no disk of its own has no limit.
    fn room(&self) -> u64 {
        u64::MAX
    }
    /// Counters and rows of an account, read in one snapshot.
    async fn tally(&self, account: AccountId) -> Result<Tally, SpoolError>;
    /// At start: claims of the process before return to the queue, pieces without a message are removed.
    /// Returns the messages whose final dot may have been sent without a recorded outcome: these may arrive twice.
    async fn recover(&self) -> Result<Recovered, SpoolError>;
    /// Returns the open claims of an account to the queue, of which nobody will report any more: its delivery ended by
    /// a fault. Returns how many recipients were claimed.
    async fn return_claims(&self, account: AccountId) -> Result<u64, SpoolError>;
    /// Removes the envelopes of messages that were delivered to all before `delivered_before`. Returns how many.
    async fn purge_delivered(&self, delivered_before: WallTime) -> Result<u64, SpoolError>;
}
