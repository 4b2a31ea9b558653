//! What the other rooms may ask of liveness.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
    /// Datagrams of the client that had no reply, in percent of the last 64, as the client counts them: lost on the way to
    /// us or on the way back. Absent where no client counts.
    pub unanswered_percent: Option<f32>,
    /// Set while the name has to keep its last record because the line came and went too often. Mail never waits.
    pub name_held_until: Option<WallTime>,
    /// When the last beats arrived, newest last, at most 60: the strip on the page.
    pub recent_beats: Vec<WallTime>,
}

/// When an address was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeardAt {
    /// Over which of the client's paths, 0 or 1.
    pub path: u8,
    /// When its newest beat was due. Absent while nothing was heard since our own start or absence: the address is
    /// that of before, and has a full window to be heard in.
    pub beat: Option<Moment>,
}

/// Where an endpoint is now, one address of each family at most: what a name may be answered with while its line is
/// neither parked nor held.
///
/// Each family is vouched for by beats and answers of its own. It is absent when its path was silent for the window of
/// that path's rhythm (17 s at 5 s), also while the other family keeps the line ONLINE; both are absent while the line is
/// NEW or OFFLINE. Two paths of one family: path 0 is shown, path 1 is its reserve. While silence is taken to be our own
/// fault nothing is taken away. Every change is told by [`LineEvent::Addresses`] or a row of history.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EffectiveAddresses {
    /// For the A record.
    pub v4: Option<(Ipv4Addr, HeardAt)>,
    /// For the AAAA record.
    pub v6: Option<(Ipv6Addr, HeardAt)>,
}

impl EffectiveAddresses {
    /// Of the addresses of the paths.
    #[must_use]
    pub fn of(paths: impl IntoIterator<Item = (IpAddr, HeardAt)>) -> Self {
        let mut addresses = Self::default();
        for (address, heard) in paths {
            match address {
                IpAddr::V4(v4) if addresses.v4.is_none_or(|(_, other)| heard.path < other.path) => {
                    addresses.v4 = Some((v4, heard));
                }
                IpAddr::V6(v6) if addresses.v6.is_none_or(|(_, other)| heard.path < other.path) => {
                    addresses.v6 = Some((v6, heard));
                }
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        addresses
    }
}

/// How one address family of a line stands: its deadline is its own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FamilyView {
    /// Where the client is; before it was heard in this run of the service, where it was last.
    pub address: IpAddr,
    /// Over which of the client's paths it is heard, 0 or 1.
    pub path: u8,
    /// Since when beats and answers come from there. Absent while none came since our own start.
    pub proven_since: Option<WallTime>,
    /// How long ago the newest beat was due. Absent while none came since our own start or absence.
    pub silent_for: Option<Duration>,
    /// Silence after which the address is no longer vouched for.
    pub goes_after: Duration,
    /// Datagrams of this path lost on the way to us, in percent of the last 64.
    pub loss_percent: Option<f32>,
    /// Where the mail server is, if its client named another machine of the same network: what is published.
    pub mail_host: Option<IpAddr>,
}

/// The families of a line that are vouched for.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Families {
    /// IPv4.
    pub v4: Option<FamilyView>,
    /// IPv6.
    pub v6: Option<FamilyView>,
    /// A mail server that the client named and that no proven address covers: not published.
    pub not_proven: Option<IpAddr>,
}

impl Families {
    /// Of the paths; of two in one family path 0 is shown.
    #[must_use]
    pub fn of(paths: impl IntoIterator<Item = FamilyView>) -> Self {
        let mut families = Self::default();
        for view in paths {
            let place = if view.address.is_ipv4() { &mut families.v4 } else { &mut families.v6 };
            if place.is_none_or(|other| view.path < other.path) {
                *place = Some(view);
            }
        }
        families
    }
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
    /// Other addresses are vouched for than before: one is heard now, or one path fell silent while the other goes on. Ask
    /// [`Lines::effective_addresses`]. A new one also makes a row of history.
    Addresses {
        /// Whose server.
        account: AccountId,
        /// Which server.
        endpoint: EndpointId,
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
    /// Where an endpoint is now, of each family: what DNS may answer.
    fn effective_addresses(&self, endpoint: EndpointId) -> EffectiveAddresses {
        let line = self.line(endpoint).filter(|line| !matches!(line.state, LineState::New | LineState::Offline));
        let heard = |line: LineView| Some((line.address?, HeardAt { path: 0, beat: line.last_beat }));
        EffectiveAddresses::of(line.and_then(heard))
    }
    /// How each address family of an endpoint stands, for people.
    fn families(&self, endpoint: EndpointId) -> Families {
        let _ = endpoint;
        Families::default()
    }
    /// The primary greeted us at `address`, which beats vouch for: the other half of a return.
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
