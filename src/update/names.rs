//! What the name server asks of updates: where further names point, and who has us in his MX set.

use tokio::sync::broadcast;

use super::model::{HostName, Policy};
use crate::base::AccountId;

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

/// Read side of updates. Calls return at once.
pub trait Names: Send + Sync {
    /// Every name that was ever set, those of mail servers included, and what accounts settled.
    fn all(&self) -> (Vec<HostName>, Vec<(AccountId, Policy)>);
    /// Changes from now on. A slow reader loses the oldest and has to look at [`all`](Self::all) again.
    fn subscribe(&self) -> broadcast::Receiver<NamesChanged>;
}
