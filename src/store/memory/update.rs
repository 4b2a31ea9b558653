//! Updates from devices, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Tables, misuse};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};
use crate::update::model::{DEVICES_PER_ACCOUNT_MAX, HOSTS_PER_ACCOUNT_MAX, TOKENS_PER_ACCOUNT_MAX};
use crate::update::{DeviceRequest, HostName, Policy, Role, TokenRecord, UpdateError, UpdateRows, UpdateStore};

type Changed<T> = Result<T, UpdateError>;

impl Tables {
    /// What hangs on servers that are gone goes with them.
    pub(super) fn prune_updates(&mut self) {
        let (accounts, endpoints) = (&self.accounts, &self.endpoints);
        self.updates.tokens.retain(|token| accounts.contains_key(&token.account));
        self.updates.hosts.retain(|host| endpoints.contains_key(&host.endpoint));
        self.updates.policies.retain(|(account, _)| accounts.contains_key(account));
        self.updates.roles.retain(|(endpoint, _)| endpoints.contains_key(endpoint));
        self.updates.requests.retain(|request| accounts.contains_key(&request.account));
    }

    /// Whether an account other than `own` has this dynamic name.
    pub(super) fn is_update_host(&self, name: &DomainName, own: Option<AccountId>) -> bool {
        self.updates.hosts.iter().any(|host| host.name == *name && Some(host.account) != own)
    }

    fn update_account(&self, account: AccountId) -> Changed<()> {
        if self.accounts.contains_key(&account) { Ok(()) } else { Err(UpdateError::NoAccount) }
    }

    fn insert_host(&mut self, mut host: HostName) -> Changed<AccountId> {
        let account = self.endpoints.get(&host.endpoint).map(|e| e.account).ok_or(UpdateError::NoAccount)?;
        host.account = account;
        let is_theirs = self.domains.get(&host.name).is_some_and(|domain| domain.account != account)
            || self.endpoints.values().any(|e| e.host == host.name && e.account != account)
            || self.updates.hosts.iter().any(|known| known.name == host.name && known.account != account);
        if is_theirs {
            return Err(UpdateError::NameTaken(host.name));
        }
        if self.is_anothers(&host.name, Some(account)) {
            return Err(UpdateError::NameRetired(host.name));
        }
        if self.updates.hosts.iter().filter(|known| known.account == account).count() >= HOSTS_PER_ACCOUNT_MAX {
            return Err(UpdateError::Full(HOSTS_PER_ACCOUNT_MAX));
        }
        match self.updates.hosts.iter_mut().find(|known| known.name == host.name) {
            Some(known) => known.interface_id = host.interface_id,
            None => self.updates.hosts.push(host),
        }
        Ok(account)
    }

    fn point_host(&mut self, mut host: HostName) {
        let Some(endpoint) = self.endpoints.get(&host.endpoint) else { return };
        host.account = endpoint.account;
        match self.updates.hosts.iter_mut().find(|known| known.name == host.name) {
            Some(known) if known.endpoint == host.endpoint && known.changed_at <= host.changed_at => {
                *known = HostName { interface_id: known.interface_id, ..host };
            }
            Some(_) => {}
            None => self.updates.hosts.push(host),
        }
    }
}

#[async_trait]
impl UpdateStore for MemoryStore {
    async fn load_updates(&self) -> Changed<UpdateRows> {
        let mut rows = self.tables().updates.clone();
        rows.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        rows.policies.sort_by_key(|(account, _)| *account);
        rows.roles.sort_by_key(|(endpoint, _)| *endpoint);
        rows.requests.sort_by(|a, b| (a.account, &a.device).cmp(&(b.account, &b.device)));
        Ok(rows)
    }

    async fn add_token(&self, mut token: TokenRecord, change: Change) -> Changed<i64> {
        let mut tables = self.tables();
        tables.update_account(token.account)?;
        let own = tables.updates.tokens.iter().filter(|known| known.account == token.account).count();
        if own >= TOKENS_PER_ACCOUNT_MAX {
            return Err(UpdateError::Full(TOKENS_PER_ACCOUNT_MAX));
        }
        if tables.updates.tokens.iter().any(|known| known.verifier == token.verifier) {
            return Err(UpdateError::Engine(misuse("a token with this image exists")));
        }
        token.id = tables.next_row();
        let (id, account) = (token.id, token.account);
        tables.note(&change, Some(account), format!("token.add {id} {}", token.kind.as_str()));
        tables.updates.tokens.push(token);
        Ok(id)
    }

    async fn revoke_token(&self, account: AccountId, id: i64, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let before = tables.updates.tokens.len();
        tables.updates.tokens.retain(|token| token.id != id || token.account != account);
        if tables.updates.tokens.len() == before {
            return Err(UpdateError::NoToken(id));
        }
        tables.note(&change, Some(account), format!("token.revoke {id}"));
        Ok(())
    }

    async fn add_host(&self, host: HostName, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let name = host.name.clone();
        let account = tables.insert_host(host)?;
        tables.note(&change, Some(account), format!("host.add {name}"));
        Ok(())
    }

    async fn remove_host(&self, account: AccountId, name: DomainName, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let is_server = tables.endpoints.values().any(|endpoint| endpoint.host == name);
        let before = tables.updates.hosts.len();
        let own = tables.updates.hosts.iter().find(|host| !is_server && host.name == name && host.account == account);
        if own.is_some_and(|host| host.changed_at.is_some()) {
            tables.retire_dynamic(name.clone(), account, change.at);
        }
        tables.updates.hosts.retain(|host| is_server || host.name != name || host.account != account);
        if tables.updates.hosts.len() == before {
            return Err(UpdateError::NoHost(name));
        }
        tables.updates.tokens.retain(|token| token.account != account || token.host.as_ref() != Some(&name));
        tables.note(&change, Some(account), format!("host.remove {name}"));
        Ok(())
    }

    async fn set_policy(&self, account: AccountId, policy: Policy, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.update_account(account)?;
        tables.updates.policies.retain(|(known, _)| *known != account);
        tables.updates.policies.push((account, policy));
        tables.note(&change, Some(account), policy.audit_words());
        Ok(())
    }

    async fn set_role(&self, endpoint: EndpointId, role: Role) -> Changed<()> {
        let mut tables = self.tables();
        if tables.endpoints.contains_key(&endpoint) {
            tables.updates.roles.retain(|(known, _)| *known != endpoint);
            tables.updates.roles.push((endpoint, role));
        }
        Ok(())
    }

    async fn set_hosts(&self, hosts: Vec<HostName>) -> Changed<()> {
        let mut tables = self.tables();
        for host in hosts {
            tables.point_host(host);
        }
        Ok(())
    }

    async fn note_request(&self, request: DeviceRequest) -> Changed<()> {
        let mut tables = self.tables();
        let account = request.account;
        if !tables.accounts.contains_key(&account) {
            return Ok(());
        }
        let all = &mut tables.updates.requests;
        all.retain(|known| known.account != account || known.device != request.device);
        all.push(request);
        let mut own: Vec<_> = all.iter().filter(|known| known.account == account).cloned().collect();
        own.sort_by(|a, b| (b.at, &a.device).cmp(&(a.at, &b.device)));
        own.truncate(DEVICES_PER_ACCOUNT_MAX);
        all.retain(|known| known.account != account);
        all.extend(own);
        Ok(())
    }
}
