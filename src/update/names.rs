//! What the name server asks of updates: where further names point, and who has us in his MX set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::model::{HostName, Policy};
use super::word::Word;
use crate::base::{AccountId, DomainName};

/// Something that names depend on has changed.
#[derive(Clone, Debug)]
pub enum NamesChanged {
    /// These names are set like this now.
    Hosts(Vec<HostName>),
    /// This account settled that.
    Policy(AccountId, Policy),
    /// Names have come or gone by command: everything has to be read again.
    Everything,
}

/// A name is to point exactly there: a family that is absent is taken away, and without any the name is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressReport {
    /// Whose name it has to be.
    pub account: AccountId,
    /// The name.
    pub name: DomainName,
    /// For A.
    pub v4: Option<Ipv4Addr>,
    /// For AAAA.
    pub v6: Option<Ipv6Addr>,
    /// Where the report came from.
    pub peer: IpAddr,
    /// What the customer's page calls the sender, such as `key router.firma.example`.
    pub device: String,
}

/// Updates, for those who show names and for those who take reports in other ways. All but `report` return at once.
#[async_trait]
pub trait Names: Send + Sync {
    /// Every name that was ever set, those of mail servers included, and what accounts settled.
    fn all(&self) -> (Vec<HostName>, Vec<(AccountId, Policy)>);
    /// Changes from now on. A slow reader loses the oldest and has to look at [`all`](Self::all) again.
    fn subscribe(&self) -> broadcast::Receiver<NamesChanged>;
    /// Where updates have put a name of an account; absent if the account has no such name.
    fn host(&self, name: &DomainName, account: AccountId) -> Option<HostName>;
    /// Takes reports like a device's update, all of them or none, in one transaction: stored when it returns, never the end
    /// of an outage. The first word that is no success, else that of the last report.
    async fn report(&self, reports: Vec<AddressReport>) -> Word;
}
