//! What a client is given at the start, what it is told, and what it says happened.

use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::fallback::Way;
use crate::heartbeat::datagram::{Locator, Reply};
use crate::heartbeat::tag::MacKey;
use crate::heartbeat::token::Token;

/// What a client needs of its token. Wiped on drop.
#[derive(Debug)]
pub struct ClientKeys {
    pub(super) locator: Locator,
    pub(super) c2s: MacKey,
    pub(super) s2c: MacKey,
    pub(super) signer: SigningKey,
}

impl ClientKeys {
    /// The keys that `token` stands for.
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self {
            locator: token.locator(),
            c2s: token.client_to_server(),
            s2c: token.server_to_client(),
            signer: token.move_key(),
        }
    }
}

/// What the user chose.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientSettings {
    /// A fixed interval; without it the server's is obeyed.
    pub interval: Option<Duration>,
    /// Which of the machine's two paths to the server this client is, 0 or 1 (docs/PROTOCOL.md §5).
    pub path: u8,
}

/// How the local mail server greeted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailReport {
    /// Whether it takes mail.
    pub is_ok: bool,
    /// Reply code of the greeting; 1 refused, 2 timed out.
    pub code: u16,
    /// How long it took, ms.
    pub millis: u16,
}

impl MailReport {
    /// Code for a port that nobody listens on, or a greeting that is none.
    pub const REFUSED: u16 = 1;
    /// Code for a greeting that did not come in time.
    pub const TIMED_OUT: u16 = 2;
}

/// What happened, for the person who looks and for the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// The server replied.
    Replied(Reply),
    /// Two beats in a row were not answered.
    Unanswered,
    /// Beats take another way now.
    WayChanged(Way),
    /// A request over HTTPS had no use, while UDP is silent as well.
    HttpsFailed,
    /// The server wants this one of its endpoints to be used.
    EndpointOrdered(u8),
    /// The server has more to say over HTTPS.
    MoreToFetch,
    /// Another source port, and the name looked up again, may help.
    NewSocketWanted,
    /// Another run took over.
    Superseded,
    /// The goodbye is over.
    Ended {
        /// Whether the server took it.
        is_acknowledged: bool,
    },
}
