//! What is shown of the two paths of a line, and of how its mail server proves itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::base::{DomainName, WallTime};
use crate::liveness::FamilyView;

/// One address family of a line. Each has its own proof and its own deadline.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FamilyShown {
    /// Where the client is.
    pub address: IpAddr,
    /// Since when it is heard there. Absent while it was not since the start of the server.
    pub proven_since: Option<WallTime>,
    /// Milliseconds since the newest beat was due. Absent as above.
    pub silent_ms: Option<u64>,
    /// Silence after which the address is withdrawn, ms.
    pub goes_after_ms: u64,
    /// Datagrams of this family lost on the way from the client, percent of the last 64.
    pub loss_percent: Option<f32>,
    /// The mail server beside the client, if its client named another machine of the same network.
    pub mail_host: Option<IpAddr>,
}

impl From<FamilyView> for FamilyShown {
    fn from(view: FamilyView) -> Self {
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            address: view.address,
            proven_since: view.proven_since,
            silent_ms: view.silent_for.map(ms),
            goes_after_ms: ms(view.goes_after),
            loss_percent: view.loss_percent,
            mail_host: view.mail_host,
        }
    }
}

/// How an account's mail server proves that it is the customer's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PinShown {
    /// The account.
    pub account: AccountName,
    /// Its mail server.
    pub host: DomainName,
    /// The key it has to show; absent until the first delivery over TLS.
    pub pinned: Option<String>,
    /// The key that its client vouches for in place of the pinned one; pinned once the server shows it and takes mail.
    #[serde(default)]
    pub vouched: Option<String>,
    /// The key it showed last instead, which `account pin accept` takes.
    pub shown_instead: Option<String>,
    /// What spoke for it at the last connection. Absent before the first one since the start.
    pub proof: Option<String>,
    /// Why whoever answers is not taken to be it.
    pub doubt: Option<String>,
}
