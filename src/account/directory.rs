//! All accounts as one value in memory: what port 25 and the heartbeat socket ask on every line.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::forwarder::ForwarderTable;
use super::holiday::Holiday;
use super::model::{Account, AccountName, BeatKeyRecord, Domain, Endpoint, Manners, OPERATOR, OPERATOR_NAME};
use super::preference::Preferences;
use crate::base::{AccountId, DomainName, EndpointId, WallTime};

/// A snapshot of every account. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    accounts: HashMap<AccountId, Account>,
    by_name: HashMap<AccountName, AccountId>,
    endpoints: HashMap<EndpointId, Endpoint>,
    domains: HashMap<DomainName, Domain>,
    beat_keys: Vec<BeatKeyRecord>,
    by_locator: HashMap<[u8; 8], usize>,
    kept: HashMap<DomainName, Kept>,
    preferences: HashMap<AccountId, Preferences>,
    forwarders: ForwarderTable,
    primary_octets_max: Option<u64>,
}

/// Of an account that chose nothing.
static NO_PREFERENCES: Preferences = Preferences {
    alert_address: None,
    trust: None,
    detour: None,
    rewrite: None,
    holiday: None,
    forwarders: Vec::new(),
};

/// Why no mail is taken for a name although we know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// Its rows cannot be read. Nobody's mail may be refused for that.
    Unreadable,
    /// It was served here once. Senders are put off until then and refused afterwards.
    Retired {
        /// End of the grace.
        deferred_until: WallTime,
    },
}

/// What we know of a domain that we take mail for.
#[derive(Clone, Copy, Debug)]
pub struct ServedDomain<'a> {
    /// The domain or dynamic name itself.
    pub name: &'a DomainName,
    /// Whose it is.
    pub account: &'a Account,
    /// Servers that may have its mail, best first.
    pub endpoints: &'a [EndpointId],
}

impl Directory {
    /// Builds the snapshot. Dynamic host names of endpoints are served like domains: mail for
    /// `user@firma.dyn.example` is the customer's too.
    #[must_use]
    pub fn new(
        accounts: Vec<Account>,
        endpoints: Vec<Endpoint>,
        domains: Vec<Domain>,
        beat_keys: Vec<BeatKeyRecord>,
    ) -> Self {
        let mut served: HashMap<DomainName, Domain> = HashMap::with_capacity(domains.len() + endpoints.len());
        for endpoint in &endpoints {
            served.insert(
                endpoint.host.clone(),
                Domain { name: endpoint.host.clone(), account: endpoint.account, endpoints: vec![endpoint.id] },
            );
        }
        let primary_octets_max = largest_taken(endpoints.iter());
        served.extend(domains.into_iter().map(|domain| (domain.name.clone(), domain)));
        Self {
            by_name: accounts.iter().map(|a| (a.name.clone(), a.id)).collect(),
            accounts: accounts.into_iter().map(|a| (a.id, a)).collect(),
            endpoints: endpoints.into_iter().map(|e| (e.id, e)).collect(),
            domains: served,
            by_locator: beat_keys.iter().enumerate().map(|(place, key)| (key.locator, place)).collect(),
            beat_keys,
            kept: HashMap::new(),
            preferences: HashMap::new(),
            forwarders: ForwarderTable::default(),
            primary_octets_max,
        }
    }

    /// The same with what one server offers now.
    #[must_use]
    pub fn with_manners(mut self, endpoint: EndpointId, manners: Manners) -> Self {
        if let Some(known) = self.endpoints.get_mut(&endpoint) {
            known.manners = Some(manners);
        }
        self.primary_octets_max = largest_taken(self.endpoints.values());
        self
    }

    /// Largest message that any primary takes, octets; absent where one takes any size or was never heard.
    #[must_use]
    pub const fn primary_octets_max(&self) -> Option<u64> {
        self.primary_octets_max
    }

    /// The same of some of them.
    #[must_use]
    pub fn octets_max_of(&self, endpoints: &[EndpointId]) -> Option<u64> {
        largest_taken(endpoints.iter().filter_map(|id| self.endpoint(*id)))
    }

    /// Whether all of these servers are known not to take mail that needs SMTPUTF8.
    #[must_use]
    pub fn none_takes_smtputf8(&self, endpoints: &[EndpointId]) -> bool {
        let refuses = |endpoint: &Endpoint| endpoint.manners.is_some_and(|manners| !manners.smtputf8);
        !endpoints.is_empty() && endpoints.iter().all(|id| self.endpoint(*id).is_some_and(refuses))
    }

    /// Adds the names that are known but not served. One that is served after all stays served.
    #[must_use]
    pub fn with_kept(mut self, kept: HashMap<DomainName, Kept>) -> Self {
        self.kept = kept;
        self
    }

    /// Adds what accounts chose.
    #[must_use]
    pub fn with_preferences(mut self, preferences: HashMap<AccountId, Preferences>) -> Self {
        let known = preferences.iter().filter(|(account, _)| self.accounts.contains_key(account));
        self.forwarders = ForwarderTable::new(known.flat_map(|(_, chosen)| &chosen.forwarders));
        self.preferences = preferences;
        self
    }

    /// Whether a peer passes on mail of others to any account.
    #[must_use]
    pub fn is_forwarder(&self, peer: IpAddr) -> bool {
        self.forwarders.contains(peer)
    }

    /// Whether it does so to this one.
    #[must_use]
    pub fn is_forwarder_of(&self, peer: IpAddr, account: AccountId) -> bool {
        let peer = peer.to_canonical();
        self.preferences(account).forwarders.iter().any(|network| network.contains(&peer))
    }

    /// What an account chose; every default for one that chose nothing.
    #[must_use]
    pub fn preferences(&self, account: AccountId) -> &Preferences {
        self.preferences.get(&account).unwrap_or(&NO_PREFERENCES)
    }

    /// How long the announced absence of an account still lasts; absent where there is none.
    #[must_use]
    pub fn holiday_left(&self, account: AccountId, now: WallTime) -> Option<Duration> {
        self.preferences(account).holiday?.left(now)
    }

    /// The accounts that have or had a holiday.
    pub fn holidays(&self) -> impl Iterator<Item = (AccountId, Holiday)> + '_ {
        let own = |account: &Account| Some((account.id, self.preferences(account.id).holiday?));
        self.accounts().into_iter().filter_map(own)
    }

    /// Why no mail is taken for a name that is not [`served`](Self::served) although we know it.
    #[must_use]
    pub fn kept(&self, name: &DomainName) -> Option<Kept> {
        self.kept.get(name).copied()
    }

    /// The domain, if we take mail for exactly this name (never for names below it).
    #[must_use]
    pub fn served(&self, name: &DomainName) -> Option<ServedDomain<'_>> {
        let domain = self.domains.get(name)?;
        Some(ServedDomain {
            name: &domain.name,
            account: self.accounts.get(&domain.account)?,
            endpoints: &domain.endpoints,
        })
    }

    /// An account by its row.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// An account by its name.
    #[must_use]
    pub fn account_named(&self, name: &str) -> Option<&Account> {
        self.accounts.get(self.by_name.get(name)?)
    }

    /// The account whose kept mail a person means by that name: [`OPERATOR_NAME`] is the operator's own, unless a customer
    /// is called so.
    #[must_use]
    pub fn mail_of(&self, name: &str) -> Option<AccountId> {
        let own = (name == OPERATOR_NAME).then_some(OPERATOR);
        self.account_named(name).map(|account| account.id).or(own)
    }

    /// An endpoint by its row.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// Every account, by name.
    #[must_use]
    pub fn accounts(&self) -> Vec<&Account> {
        let mut all: Vec<&Account> = self.accounts.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The servers of one account, oldest first.
    #[must_use]
    pub fn endpoints_of(&self, account: AccountId) -> Vec<&Endpoint> {
        let mut own: Vec<&Endpoint> = self.endpoints.values().filter(|e| e.account == account).collect();
        own.sort_by_key(|e| e.id);
        own
    }

    /// Every server.
    #[must_use]
    pub fn endpoints(&self) -> Vec<&Endpoint> {
        let mut all: Vec<&Endpoint> = self.endpoints.values().collect();
        all.sort_by_key(|e| e.id);
        all
    }

    /// Names that one account receives mail for, dynamic names included, in order of the alphabet.
    #[must_use]
    pub fn domains_of(&self, account: AccountId) -> Vec<&Domain> {
        let mut own: Vec<&Domain> = self.domains.values().filter(|d| d.account == account).collect();
        own.sort_by(|a, b| a.name.cmp(&b.name));
        own
    }

    /// The stored heartbeat keys.
    #[must_use]
    pub fn beat_keys(&self) -> &[BeatKeyRecord] {
        &self.beat_keys
    }

    /// The stored heartbeat key with this locator.
    #[must_use]
    pub fn beat_key(&self, locator: &[u8; 8]) -> Option<&BeatKeyRecord> {
        self.beat_keys.get(*self.by_locator.get(locator)?)
    }
}

/// The largest limit, if each has one.
fn largest_taken<'a>(mut endpoints: impl Iterator<Item = &'a Endpoint>) -> Option<u64> {
    let limit = |endpoint: &Endpoint| endpoint.manners.and_then(|manners| manners.octets_max);
    let first = limit(endpoints.next()?)?;
    endpoints.try_fold(first, |largest, endpoint| Some(largest.max(limit(endpoint)?)))
}

/// The current [`Directory`], shared by all rooms; replaced whole after a change.
#[derive(Clone, Debug, Default)]
pub struct DirectoryHandle(Arc<ArcSwap<Directory>>);

impl DirectoryHandle {
    /// A handle that begins with `directory`.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(directory)))
    }

    /// The snapshot of this instant.
    #[must_use]
    pub fn load(&self) -> Arc<Directory> {
        self.0.load_full()
    }

    /// Replaces the snapshot.
    pub fn replace(&self, directory: Directory) {
        self.0.store(Arc::new(directory));
    }
}
