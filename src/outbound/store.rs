//! What the post office asks of a storage engine.

use async_trait::async_trait;

use super::model::{Case, Conclusion, MailEnd, NewMail, Outgoing, OutgoingRow};
use crate::base::{DomainName, SpoolId, WallTime};
use crate::spool::SpoolError;

/// Open notices, and mail that leaves by itself.
#[async_trait]
pub trait OutboundStore: Send + Sync {
    /// Cases with an open notice, oldest first, at most `limit`.
    async fn open_cases(&self, limit: u32) -> Result<Vec<Case>, SpoolError>;
    /// Notes a delay for each queued recipient accepted before then whose sender asked for that. Returns how many.
    async fn note_delays(&self, accepted_before: WallTime, now: WallTime) -> Result<u64, SpoolError>;
    /// Closes notices and makes their mail, in one step that is on the disk when it is answered. Does nothing, and
    /// answers `false`, when one of them is not open any more.
    async fn conclude(&self, conclusion: Conclusion, now: WallTime) -> Result<bool, SpoolError>;
    /// Makes a mail. `false` when its tag is known: it was made before.
    async fn enqueue(&self, mail: NewMail, now: WallTime) -> Result<bool, SpoolError>;
    /// Whether a mail of this tag was made.
    async fn is_made(&self, tag: &str) -> Result<bool, SpoolError>;
    /// Mail that is due, oldest first, at most `limit`.
    async fn due(&self, now: WallTime, limit: u32) -> Result<Vec<Outgoing>, SpoolError>;
    /// Notes what an attempt came to. Content goes with the end.
    async fn settle_mail(&self, id: i64, end: MailEnd, now: WallTime) -> Result<(), SpoolError>;
    /// Mails made for a domain since then.
    async fn made_for(&self, domain: &DomainName, since: WallTime) -> Result<u64, SpoolError>;
    /// The newest mails, about one message or all, at most `limit`.
    async fn outgoing(&self, about: Option<SpoolId>, limit: u32) -> Result<Vec<OutgoingRow>, SpoolError>;
    /// Removes the rows of mail that ended before. Returns how many.
    async fn purge_outgoing(&self, ended_before: WallTime) -> Result<u64, SpoolError>;
}
