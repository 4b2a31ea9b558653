//! All tokens and names in memory: who may set which name, and what is shown of it.

use std::collections::{BTreeMap, HashMap};

use subtle::ConstantTimeEq;

use super::model::{DeviceRequest, HostName, Policy, Role, Source, TokenRecord};
use super::store::UpdateRows;
use super::token;
use crate::account::Directory;
use crate::base::{AccountId, DomainName, EndpointId, WallTime};

/// See the file. A plain value; the driver keeps it in step with the store.
#[derive(Debug, Default)]
pub struct Ledger {
    tokens: HashMap<[u8; 32], TokenRecord>,
    hosts: HashMap<DomainName, HostName>,
    policies: HashMap<AccountId, Policy>,
    roles: BTreeMap<EndpointId, Role>,
    requests: HashMap<AccountId, Vec<DeviceRequest>>,
}

/// Whose a name is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owned {
    /// This account's.
    Own(Box<HostName>),
    /// Another one's.
    Others,
    /// Nobody's.
    Nobody,
}

/// What an account's page shows of updates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountUpdates {
    /// What tells us whether its server is there.
    pub source: Source,
    /// What it settled.
    pub policy: Policy,
    /// Last request of each device, newest first.
    pub devices: Vec<DeviceRequest>,
}

impl Ledger {
    /// Everything that the store holds.
    #[must_use]
    pub fn new(rows: UpdateRows) -> Self {
        let mut requests: HashMap<AccountId, Vec<DeviceRequest>> = HashMap::new();
        for request in rows.requests {
            requests.entry(request.account).or_default().push(request);
        }
        Self {
            tokens: rows.tokens.into_iter().map(|token| (token.verifier, token)).collect(),
            hosts: rows.hosts.into_iter().map(|host| (host.name.clone(), host)).collect(),
            policies: rows.policies.into_iter().collect(),
            roles: rows.roles.into_iter().collect(),
            requests,
        }
    }

    /// Takes over what `newer`, just read, says; names and requests that changed meanwhile stay as they are here.
    pub fn refresh(&mut self, mut newer: Self, directory: &Directory) {
        let mine = std::mem::take(&mut self.hosts);
        newer.hosts.extend(
            mine.into_iter()
                .filter(|(name, host)| {
                    newer
                        .hosts
                        .get(name)
                        .is_some_and(|stored| stored.endpoint == host.endpoint && stored.changed_at < host.changed_at)
                })
                .collect::<Vec<_>>(),
        );
        newer.requests = std::mem::take(&mut self.requests);
        newer.requests.retain(|account, _| directory.account(*account).is_some());
        *self = newer;
    }

    /// The token of that text, if it is valid now. Takes the same time for every text.
    #[must_use]
    pub fn token(&self, text: &str, now: WallTime) -> Option<&TokenRecord> {
        let image = token::verifier(text);
        let found = self.tokens.get(&image);
        let stored = found.map_or([0; 32], |token| token.verifier);
        let is_same = bool::from(stored.ct_eq(&image));
        found.filter(|token| is_same && token.expires_at.is_none_or(|end| end > now))
    }

    /// Whose the name is; that of a mail server begins with the addresses that its heartbeats proved.
    #[must_use]
    pub fn host(&self, name: &DomainName, account: AccountId, directory: &Directory) -> Owned {
        let known = self.hosts.get(name).filter(|host| directory.endpoint(host.endpoint).is_some()).cloned();
        let host = known.or_else(|| {
            let served = directory.served(name)?;
            let endpoint = served.endpoints.iter().find_map(|id| directory.endpoint(*id))?;
            (endpoint.host == *name).then(|| HostName {
                address_v4: endpoint.address_v4,
                address_v6: endpoint.address_v6,
                ..HostName::new(name.clone(), endpoint.account, endpoint.id)
            })
        });
        match host {
            Some(host) if host.account == account => Owned::Own(Box::new(host)),
            Some(_) => Owned::Others,
            None => Owned::Nobody,
        }
    }

    /// All names of an account in order of the alphabet, those of its servers included.
    #[must_use]
    pub fn hosts_of(&self, account: AccountId, directory: &Directory) -> Vec<HostName> {
        let servers = directory.endpoints_of(account).into_iter().map(|endpoint| endpoint.host.clone());
        let further = self.hosts.values().filter(|host| host.account == account).map(|host| host.name.clone());
        let names: std::collections::BTreeSet<DomainName> = servers.chain(further).collect();
        let own = |name: &DomainName| match self.host(name, account, directory) {
            Owned::Own(host) => Some(*host),
            Owned::Others | Owned::Nobody => None,
        };
        names.iter().filter_map(own).collect()
    }

    /// Every name that was ever set, and what accounts settled.
    #[must_use]
    pub fn all(&self) -> (Vec<HostName>, Vec<(AccountId, Policy)>) {
        let policies = self.policies.iter().map(|(account, policy)| (*account, *policy)).collect();
        (self.hosts.values().cloned().collect(), policies)
    }

    /// The name points there from now on.
    pub fn set_host(&mut self, host: HostName) {
        self.hosts.insert(host.name.clone(), host);
    }

    /// Undoes `set_host` of a change that could not be stored, unless another one followed.
    pub fn take_back(&mut self, failed: &HostName, before: &HostName) {
        if self.hosts.get(&failed.name) == Some(failed) {
            self.hosts.insert(before.name.clone(), before.clone());
        }
    }

    /// What the account settled.
    #[must_use]
    pub fn policy(&self, account: AccountId) -> Policy {
        self.policies.get(&account).copied().unwrap_or_default()
    }

    /// Keeps what the account settled.
    pub fn set_policy(&mut self, account: AccountId, policy: Policy) {
        self.policies.insert(account, policy);
    }

    /// Whose word counts for a mail server, if an update was ever accepted for it.
    #[must_use]
    pub fn role(&self, endpoint: EndpointId) -> Option<Role> {
        self.roles.get(&endpoint).copied()
    }

    /// From now on this word counts.
    pub fn set_role(&mut self, endpoint: EndpointId, role: Role) {
        self.roles.insert(endpoint, role);
    }

    /// Servers that only updates tell of.
    pub fn without_beats(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.roles.iter().filter(|(_, role)| **role == Role::Updates).map(|(endpoint, _)| *endpoint)
    }

    /// Keeps the last request of a device. `true` if it says something new and has to be stored.
    pub fn note(&mut self, request: DeviceRequest) -> bool {
        let all = self.requests.entry(request.account).or_default();
        let is_new = match all.iter_mut().find(|known| known.device == request.device) {
            Some(known) => {
                let is_new = !request.repeats(known);
                *known = request;
                is_new
            }
            None => {
                all.push(request);
                true
            }
        };
        all.sort_by_key(|request| std::cmp::Reverse(request.at));
        all.truncate(super::model::DEVICES_PER_ACCOUNT_MAX);
        is_new
    }

    /// What an account's page shows.
    #[must_use]
    pub fn account(&self, account: AccountId, directory: &Directory, has_beats: bool) -> AccountUpdates {
        let roles: Vec<Role> = directory.endpoints_of(account).iter().filter_map(|e| self.role(e.id)).collect();
        let source = if roles.contains(&Role::Updates) {
            Source::Updates
        } else if has_beats || roles.contains(&Role::Beats) {
            Source::Beats
        } else {
            Source::None
        };
        let mut devices = self.requests.get(&account).cloned().unwrap_or_default();
        devices.sort_by_key(|request| std::cmp::Reverse(request.at));
        AccountUpdates { source, policy: self.policy(account), devices }
    }
}
