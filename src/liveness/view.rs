//! What the other rooms may ask of liveness.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::broadcast;

use super::guard::OwnOutage;
use super::transition::{HistoryRow, LineState};
use crate::base::{AccountId, EndpointId, Moment, WallTime};

/// One endpoint's line at one instant.
#[derive(Clone, PartialEq, Debug)]
pub struct LineView {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// Now.
    pub state: LineState,
    /// Since when it is so; for SUSPECT and OFFLINE since the first missed beat was due. Absent for NEW.
    pub since: Option<WallTime>,
    /// The newest beat that counted. Mail goes nowhere once this is older than 20 s.
    pub last_beat: Option<Moment>,
    /// The same for people.
    pub last_beat_at: Option<WallTime>,
    /// Where the newest beat came from, proven by a round trip. Absent until one was heard in this run of the service.
    pub address: Option<IpAddr>,
    /// The rhythm the client keeps.
    pub interval: Duration,
    /// Whole intervals since the last beat; 0 while beats come.
    pub missed: u32,
    /// What the client says of its mail server: `Some(true)` takes mail, `Some(false)` does not, `None` it did not look.
    pub mail_ok: Option<bool>,
    /// Datagrams lost on the way to us, in percent of the last 64.
    pub loss_percent: f32,
    /// Set while the name has to keep its last record because the line came and went too often. Mail never waits.
    pub name_held_until: Option<WallTime>,
    /// When the last beats arrived, newest last, at most 60: the strip on the page.
    pub recent_beats: Vec<WallTime>,
}

/// Something happened to a line. State changes and addresses arrive after they are durable.
#[derive(Clone, Debug)]
pub enum LineEvent {
    /// A row of history was written.
    Changed(HistoryRow),
    /// A miss, or the beat that healed it: no row, but the page shows it.
    Suspicion {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
        /// SUSPECT now, or back to ONLINE.
        is_suspect: bool,
    },
    /// The client says its mail server takes mail again, after it had said no: a reason to flush.
    MailAccepted {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
    },
    /// The client says that its mail server takes no mail, and did not say so before.
    MailRefused {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
    },
    /// Beats come from another address than before, proven. A new one also makes a row of history.
    Heard {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
        /// Where.
        address: IpAddr,
    },
    /// The mail server greeted us at this address.
    Greeted {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
        /// Where.
        address: IpAddr,
        /// When.
        at: WallTime,
    },
}

/// Read side of liveness, and the one fact that delivery reports back. Calls return at once.
pub trait Lines: Send + Sync {
    /// One endpoint.
    fn line(&self, endpoint: EndpointId) -> Option<LineView>;
    /// The line that speaks for an account: the best of its endpoints (ONLINE, RETURNING, SUSPECT, OFFLINE, NEW).
    fn account_line(&self, account: AccountId) -> Option<LineView>;
    /// The primary greeted us at `address`, which is that of the beats: the other half of a return.
    fn primary_greeted(&self, endpoint: EndpointId, address: IpAddr);
    /// Events from now on. A slow reader loses the oldest and has to look at [`line`](Self::line) again.
    fn subscribe(&self) -> broadcast::Receiver<LineEvent>;
    /// Set while silence of many lines is taken to be our own fault. A source that never judges has none.
    fn own_outage(&self) -> Option<OwnOutage> {
        None
    }
    /// The operator says that the silence is real: who is silent is neutralised. False if there was nothing to decide.
    fn release_own_outage(&self) -> bool {
        false
    }
}
