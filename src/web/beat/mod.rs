//! Heartbeats over HTTP (docs/PROTOCOL.md §10): the same datagrams for clients whose UDP does not get through, a plain
//! beat for scripts, and the ways to a token.

pub(super) mod bearer;
pub(crate) mod drill;
pub(super) mod handlers;
pub mod join;
pub(super) mod limit;
pub(super) mod recipients;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::join::JoinCodes;
use self::limit::Limits;
use crate::account::AccountError;
use crate::base::{EndpointId, WallTime};
use crate::heartbeat::server::BeatServer;

/// How long a token that a client renewed by itself stays good, unless the new one is used before.
pub const RENEWED_OVERLAP: Duration = Duration::from_secs(7 * 86_400);

/// A token just made for a client.
pub struct FreshToken {
    /// `pmb1-...`; shown once.
    pub text: Zeroizing<String>,
    /// Until when older ones are good at the latest.
    pub old_valid_until: WallTime,
}

/// Makes tokens: stores the key and tells the heartbeat socket.
#[async_trait]
pub trait TokenDesk: Send + Sync {
    /// A new token for `endpoint`, on behalf of `who` (for the audit log).
    ///
    /// # Errors
    /// [`AccountError`]; no token was made, or nobody knows it.
    async fn renew(&self, endpoint: EndpointId, who: &str) -> Result<FreshToken, AccountError>;
}

/// What the heartbeats over HTTP need of the other rooms.
#[derive(Clone)]
pub struct BeatRooms {
    /// The table of all runs, shared with the UDP sockets.
    pub server: Arc<BeatServer>,
    /// Makes tokens.
    pub desk: Arc<dyn TokenDesk>,
    /// One-time codes for `pulsemx-beat join`.
    pub joins: Arc<JoinCodes>,
    /// `HOST:PORT` of the heartbeat sockets for `/hb/hello`.
    pub udp: Vec<String>,
    /// Address of the pages for `/hb/hello`.
    pub https: String,
    /// Interval that clients are told to keep.
    pub interval: Duration,
    /// Whether a connection from this machine itself may say where a line is: in tests and the demo. Elsewhere it is
    /// a proxy, and its address says nothing.
    pub allows_loopback: bool,
}

/// The same with what the requests share.
pub(super) struct BeatDoor {
    pub(super) rooms: BeatRooms,
    pub(super) limits: Arc<Mutex<Limits>>,
    /// Places for lists of recipients that are being read.
    pub(super) uploads: Arc<Semaphore>,
}
