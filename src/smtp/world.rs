//! What a session asks of the rooms around it.

use std::net::IpAddr;
use std::sync::Arc;

use super::rates::Deed;
use super::refusals::Refused;
use crate::account::{Directory, ServedDomain};
use crate::base::{AccountId, DomainName, EndpointId, LocalPart, Moment, SpoolId, WallTime};
use crate::liveness::LineView;
use crate::recipient::Judgement;
use crate::spool::Usage;

/// What a session asks while it decides. Answers come at once and from memory.
pub trait World {
    /// Accounts and domains of this instant.
    fn directory(&self) -> Arc<Directory>;
    /// What an account holds.
    fn usage(&self, account: AccountId) -> Usage;
    /// What to do with a mail for that mailbox; `is_there`: the customer's server can judge itself.
    fn judge_recipient(&self, served: &ServedDomain<'_>, local_part: &LocalPart, is_there: bool) -> Judgement;
    /// Octets that the disk may still take.
    fn room(&self) -> u64;
    /// What one account may hold while the disk is rather full, octets.
    fn fair_share(&self) -> Option<u64>;
    /// Has the waiting mail of an account delivered now.
    fn start_flush(&self, account: AccountId) -> FlushAnswer;
    /// Counts what a peer does; false when its network has done too much.
    fn admits(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        let _ = (peer, deed, now);
        true
    }
    /// Whether [`admits`](Self::admits) would say yes; counts nothing.
    fn would_admit(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        let _ = (peer, deed, now);
        true
    }
    /// Whether as many transactions are open as memory is meant for, in all sessions or in those of the network of `peer`,
    /// who is absent if he has no limits.
    fn is_too_busy(&self, peer: Option<IpAddr>) -> bool {
        let _ = peer;
        false
    }
    /// Keeps that a recipient was refused. Returns at once.
    fn note_refused(&self, refused: Refused) {
        let _ = refused;
    }
    /// Whether a recipient may be asked of its own server now.
    fn may_ask(&self, account: AccountId, domain: &DomainName) -> bool {
        let _ = (account, domain);
        false
    }
    /// Whether AUTH is offered: some customer's server may have to prove who it is.
    fn takes_logins(&self) -> bool {
        false
    }
    /// Whose server knows this secret, if it may ask for its mail.
    fn login(&self, secret: &str) -> Option<AccountId> {
        let _ = secret;
        None
    }
    /// The line to one server.
    fn line(&self, endpoint: EndpointId) -> Option<LineView>;
    /// A name for the next message.
    fn next_id(&self) -> SpoolId;
    /// Now, for traces.
    fn wall(&self) -> WallTime;
}

/// What came of a request for a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlushAnswer {
    /// It begins, or goes on.
    Started,
    /// It was asked for a moment ago.
    TooOften,
}
