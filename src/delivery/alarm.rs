//! What delivery finds that a person has to know: once for each episode.

use crate::base::{AccountId, EndpointId};

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// The primary refuses recipients that it took before: everything is held.
    Broken {
        /// Whose.
        account: AccountId,
        /// In words.
        reason: String,
    },
    /// It took one again: the flush goes on.
    Well {
        /// Whose.
        account: AccountId,
    },
    /// Whoever answers is not taken to be the customer's server, or it refuses us: everything is held.
    Stranger {
        /// Whose.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
        /// In words, with both keys where it is about keys.
        reason: String,
    },
    /// The customer's server answers again.
    Known {
        /// Whose.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
    },
    /// The primary greylists us: it should not.
    Greylisted {
        /// Whose.
        account: AccountId,
        /// Its words.
        reason: String,
    },
    /// The key by which a server proves itself is another one now.
    PinMoved {
        /// Whose.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
        /// In words, with the fingerprint.
        reason: String,
    },
}
