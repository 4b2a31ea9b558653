//! What happened to a line, as a durable row that every reader uses, and the log that keeps the rows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::day::DaySummary;
use crate::base::{AccountId, EndpointId, WallTime};

/// The state of one endpoint's line. NEW is OFFLINE for mail and DNS, without an alert.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// Never heard.
    New,
    /// Beats come.
    Online,
    /// A beat is missed. Mail is stored; DNS is unchanged. Never a row of history.
    Suspect,
    /// Neutralised: three beats missed, or a goodbye.
    Offline,
    /// A beat came after an outage; the primary is being called.
    Returning,
}

impl LineState {
    /// As in commands and the API: `new|online|suspect|offline|returning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
            Self::Returning => "returning",
        }
    }

    /// Whether beats vouch for an address now, so that mail may be delivered.
    #[must_use]
    pub const fn is_deliverable(self) -> bool {
        matches!(self, Self::Online | Self::Returning)
    }
}

impl fmt::Display for LineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored state has an unknown word.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not the state of a line")]
pub struct LineStateError(String);

impl FromStr for LineState {
    type Err = LineStateError;
    fn from_str(text: &str) -> Result<Self, LineStateError> {
        [Self::New, Self::Online, Self::Suspect, Self::Offline, Self::Returning]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| LineStateError(text.to_owned()))
    }
}

/// Why a state changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The first valid beat, of an account or after an outage.
    Beat,
    /// A second beat, or the primary's greeting: the line is back.
    Confirmed,
    /// Three beats were missed.
    MissedBeats,
    /// The client said goodbye.
    Goodbye,
    /// The router's update that spoke for the line ran out.
    UpdateRanOut,
    /// A person did it.
    Operator,
}

impl Cause {
    /// As stored and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::Confirmed => "confirmed",
            Self::MissedBeats => "missed_beats",
            Self::Goodbye => "goodbye",
            Self::UpdateRanOut => "update_ran_out",
            Self::Operator => "operator",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Beat, Self::Confirmed, Self::MissedBeats, Self::Goodbye, Self::UpdateRanOut, Self::Operator]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}

/// A change of state of one endpoint. SUSPECT is never `from` or `to`: a miss that heals leaves no trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Transition {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// Before.
    pub from: LineState,
    /// After.
    pub to: LineState,
    /// Why.
    pub cause: Cause,
    /// When it was decided.
    pub at: WallTime,
    /// When it began: for OFFLINE the moment the first missed beat was due, else `at`.
    pub since: WallTime,
    /// The proven address at that time.
    pub address: Option<IpAddr>,
}

/// The proven address of an endpoint changed. A class of its own: not an outage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AddressChange {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// Before, in the same family.
    pub from: Option<IpAddr>,
    /// After.
    pub to: IpAddr,
    /// When.
    pub at: WallTime,
}

/// Silence that was taken to be our own fault begins or ends: no outage, and no proof of presence either.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NoData {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// When the first missed beat was due.
    pub since: WallTime,
    /// When it was decided; the end of the period if it is over.
    pub at: WallTime,
    /// A beat came, or the silence was taken to be real after all.
    pub is_over: bool,
}

/// A client keeps another rhythm than before. Remembered, so that a restart of ours does not call a slow client dead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct IntervalChange {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// The rhythm now.
    pub interval: Duration,
    /// When it was first seen.
    pub at: WallTime,
}

/// One line of an account's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryRow {
    /// The state changed.
    State(Transition),
    /// The address changed.
    Address(AddressChange),
    /// We know nothing of a time.
    NoData(NoData),
    /// The rhythm changed.
    Interval(IntervalChange),
}

impl HistoryRow {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> WallTime {
        match self {
            Self::State(row) => row.at,
            Self::Address(row) => row.at,
            Self::NoData(row) => row.at,
            Self::Interval(row) => row.at,
        }
    }

    /// Whose server.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        match self {
            Self::State(row) => row.account,
            Self::Address(row) => row.account,
            Self::NoData(row) => row.account,
            Self::Interval(row) => row.account,
        }
    }

    /// Which server.
    #[must_use]
    pub const fn endpoint(&self) -> EndpointId {
        match self {
            Self::State(row) => row.endpoint,
            Self::Address(row) => row.endpoint,
            Self::NoData(row) => row.endpoint,
            Self::Interval(row) => row.endpoint,
        }
    }
}

/// What the log knows of an endpoint when the service starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedEndpoint {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub endpoint: EndpointId,
    /// The state after its last transition, NEW without one.
    pub state: LineState,
    /// When that state began; absent for NEW.
    pub since: Option<WallTime>,
    /// The rhythm that its client was last seen to keep; absent while that is the configured one.
    pub interval: Option<Duration>,
    /// Set while its silence is taken to be our own fault.
    pub no_data_since: Option<WallTime>,
    /// Why it has its state; absent for NEW and for what was stored by an older version.
    pub cause: Option<Cause>,
    /// When the outage began that somebody was told of ([`TransitionLog::note_told`]); absent once the line is back.
    pub told_since: Option<WallTime>,
    /// Last proven IPv4 address.
    pub address_v4: Option<Ipv4Addr>,
    /// Last proven IPv6 address.
    pub address_v6: Option<Ipv6Addr>,
}

impl WatchedEndpoint {
    /// One that was never heard.
    #[must_use]
    pub const fn new(account: AccountId, endpoint: EndpointId) -> Self {
        Self {
            account,
            endpoint,
            state: LineState::New,
            since: None,
            interval: None,
            no_data_since: None,
            cause: None,
            told_since: None,
            address_v4: None,
            address_v6: None,
        }
    }
}

/// A row could not be written or read. The state in memory stands; the row is written again with the next one.
#[derive(Debug, thiserror::Error)]
#[error("the transition log failed: {0}")]
pub struct LogError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where transitions are kept.
#[async_trait]
pub trait TransitionLog: Send + Sync {
    /// Writes rows in this order and returns once they are durable, and counts them into the days of their accounts
    /// in the same step. An [`AddressChange`] also becomes the endpoint's stored address, an [`IntervalChange`] its
    /// stored rhythm. Rows of endpoints that are gone are dropped.
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), LogError>;
    /// Somebody was told of the outage of this endpoint that began at `since`; remembered until the line is ONLINE. A log
    /// that keeps nothing over a restart has nothing to do.
    async fn note_told(&self, endpoint: EndpointId, since: WallTime) -> Result<(), LogError> {
        let _ = (endpoint, since);
        Ok(())
    }
    /// Every endpoint with its last state.
    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError>;
    /// The newest rows of one account, newest first.
    async fn history(&self, account: AccountId, limit: u32) -> Result<Vec<HistoryRow>, LogError>;
    /// Every day of an account from `from` to `to`, both included, oldest first, as counted up to `now`. Days before
    /// anything was known are all zeros. At most [`DAYS_MAX`](super::day::DAYS_MAX) days, the newest.
    async fn days(
        &self,
        account: AccountId,
        from: NaiveDate,
        to: NaiveDate,
        now: WallTime,
    ) -> Result<Vec<DaySummary>, LogError>;
    /// Forgets rows of history that were written before `before`; the days keep what they counted. How many went.
    async fn purge_history(&self, before: WallTime) -> Result<u64, LogError>;
}
