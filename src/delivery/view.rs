//! What the other rooms may ask of delivery, and how they wake it.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use super::identity::KeyDigest;
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::spool::Hold;

/// A flush that has ended: from the first claim until nothing was due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FlushSummary {
    /// When it began.
    pub started_at: WallTime,
    /// When its last message was reported on.
    pub ended_at: WallTime,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients deferred.
    pub deferred: u64,
    /// Recipients refused for good.
    pub refused: u64,
    /// From the beat that brought the line back to the first delivered message; absent for a flush on its own.
    pub first_delivery_after: Option<Duration>,
}

/// How delivery to one account stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FlushView {
    /// A connection is being made or used.
    pub is_delivering: bool,
    /// Recipients delivered in the running flush.
    pub delivered_now: u64,
    /// The last one that delivered or was refused something.
    pub last: Option<FlushSummary>,
    /// Why the last connection or message failed, in words for the page. Cleared by the next success.
    pub last_problem: Option<String>,
    /// TLS version, cipher and key fingerprint of the last connection, if it was encrypted.
    pub last_tls: Option<String>,
    /// What spoke for the server at the last connection, in words; absent before the first one.
    pub proof: Option<&'static str>,
    /// The flush is stopped.
    pub hold: Option<Hold>,
    /// Why the server that answers is not taken to be the customer's. Cleared by the next one that is.
    pub doubt: Option<String>,
    /// The key it showed instead of the pinned one.
    pub strange_key: Option<StrangeKey>,
}

/// A key that a person may accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct StrangeKey {
    /// Of which server.
    pub endpoint: EndpointId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: KeyDigest,
}

/// Wakes delivery and shows how it stands. Calls return at once.
pub trait Flushes: Send + Sync {
    /// New mail of these accounts is in the spool.
    fn mail_stored(&self, accounts: &[AccountId]);
    /// A person asked for another try; due times were already set.
    fn retry(&self, account: AccountId);
    /// The stored hold of an account is another one now.
    fn hold(&self, account: AccountId, hold: Option<Hold>);
    /// How it stands.
    fn view(&self, account: AccountId) -> FlushView;
    /// The key that the client beside a server vouched for since the start, unless it is the pinned one.
    fn vouched_key(&self, endpoint: EndpointId) -> Option<[u8; 32]> {
        let _ = endpoint;
        None
    }
    /// Accounts whose view changed.
    fn subscribe(&self) -> broadcast::Receiver<AccountId>;
}

/// Keeps an account's mail from its servers for a drill, as if they were away. In memory only, so that no restart leaves
/// an account cut off; heartbeats, answers of the name server and calls without mail go on.
pub trait MailPaths: Send + Sync {
    /// Mail is stored and not delivered until [`mend`](Self::mend), or until then.
    fn cut(&self, account: AccountId, until: Moment);
    /// The end of it: what was stored meanwhile is delivered now.
    fn mend(&self, account: AccountId);
}
