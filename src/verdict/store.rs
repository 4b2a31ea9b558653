//! What the checks ask of a storage engine.

use std::net::IpAddr;

use async_trait::async_trait;

use super::finding::Verdict;
use crate::base::{AccountId, ReversePath, SpoolId, WallTime};
use crate::spool::SpoolError;

/// A stored message as the checks see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// Which.
    pub id: SpoolId,
    /// Who sent it to us.
    pub peer: IpAddr,
    /// What the peer called itself.
    pub helo: String,
    /// Envelope sender.
    pub reverse_path: ReversePath,
    /// Whom it is for, in rising order.
    pub accounts: Vec<AccountId>,
    /// Pieces of content, numbered from 0.
    pub chunks: u32,
}

/// Verdicts beside the messages. They go with their message.
#[async_trait]
pub trait VerdictStore: Send + Sync {
    /// Notes a verdict; replaces an earlier one. True unless the message is gone. Survives the death of the process,
    /// and may be lost with the machine: then the message counts as not checked.
    async fn save_verdict(&self, id: SpoolId, verdict: Verdict, at: WallTime) -> Result<bool, SpoolError>;
    /// The verdict of a message; none while it was not checked.
    async fn verdict(&self, id: SpoolId) -> Result<Option<Verdict>, SpoolError>;
    /// Messages with a waiting or refused recipient, accepted since then and not checked, newest first, at most `limit`.
    async fn unchecked(&self, accepted_since: WallTime, limit: u32) -> Result<Vec<Subject>, SpoolError>;
}
