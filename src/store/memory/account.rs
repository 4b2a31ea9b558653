//! Accounts, domains, keys and people, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Retired, Tables, misuse};
use crate::account::store::owner_names;
use crate::account::{
    Account, AccountError, AccountStatus, AccountStore, AuditEntry, BeatKeyRecord, Change, Directory, Domain, Endpoint,
    Kept, LEAVING_FOR, Manners, Membership, NewAccount, OnlineMode, Person, Preferences, Role, SignInLink, WebSession,
};
use crate::base::{AccountId, DomainName, EndpointId, PersonId, WallTime};
use crate::spool::RecipientState;

type Changed<T> = Result<T, AccountError>;

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Technician => "technician",
        Role::Owner => "owner",
    }
}

impl Tables {
    pub(super) fn require_account(&self, account: AccountId) -> Changed<&Account> {
        self.accounts.get(&account).ok_or(AccountError::NoAccount)
    }

    fn is_host(&self, name: &DomainName) -> bool {
        self.endpoints.values().any(|endpoint| endpoint.host == *name)
    }

    /// Whether the domain needs a row: not when it is the host of one of the account's own servers.
    fn domain_is_new(&self, account: AccountId, name: &DomainName) -> Changed<bool> {
        if self.domains.contains_key(name) {
            return Err(AccountError::DomainTaken(name.clone()));
        }
        if self.is_update_host(name, Some(account)) {
            return Err(AccountError::DomainTaken(name.clone()));
        }
        if self.is_anothers(name, Some(account)) {
            return Err(AccountError::NameRetired(name.clone()));
        }
        match self.endpoints.values().find(|endpoint| endpoint.host == *name) {
            None => Ok(true),
            Some(endpoint) if endpoint.account == account => Ok(false),
            Some(_) => Err(AccountError::DomainTaken(name.clone())),
        }
    }

    fn person_named(&mut self, name: &str, is_operator: bool) -> Changed<(PersonId, bool)> {
        match self.people.values().find(|person| person.name == name) {
            Some(known) if known.is_operator == is_operator => Ok((known.id, false)),
            Some(_) => Err(AccountError::Engine(misuse("a person of this name has other rights"))),
            None => Ok((self.add_person(name.to_owned(), is_operator), true)),
        }
    }

    fn add_person(&mut self, name: String, is_operator: bool) -> PersonId {
        let id = PersonId(self.next_row());
        self.people.insert(id, Person { id, name, is_operator });
        id
    }

    /// As in the engine on disk: always a new person.
    fn new_owner(&mut self, account: &str) -> PersonId {
        let free = owner_names(account).find(|name| self.people.values().all(|person| person.name != *name));
        self.add_person(free.unwrap_or_default(), false)
    }

    pub(super) fn person_name(&self, person: PersonId) -> Changed<String> {
        let known = self.people.get(&person);
        known.map(|person| person.name.clone()).ok_or_else(|| AccountError::Engine(misuse("there is no such person")))
    }

    fn add_key(&mut self, key: BeatKeyRecord) -> Changed<()> {
        if self.beat_keys.iter().any(|known| known.locator == key.locator) {
            return Err(AccountError::Engine(misuse("a key with this locator exists")));
        }
        self.beat_keys.push(key);
        Ok(())
    }

    fn create(&mut self, new: NewAccount, change: &Change) -> Changed<(AccountId, EndpointId)> {
        if self.accounts.values().any(|account| account.name == new.name) {
            return Err(AccountError::NameTaken(new.name));
        }
        if self.is_host(&new.host) || self.domains.contains_key(&new.host) || self.is_update_host(&new.host, None) {
            return Err(AccountError::DomainTaken(new.host));
        }
        if self.is_anothers(&new.host, None) {
            return Err(AccountError::NameRetired(new.host));
        }
        for (place, name) in new.domains.iter().enumerate() {
            let is_twice = new.domains.iter().skip(place + 1).any(|other| other == name) && *name != new.host;
            if is_twice || self.domains.contains_key(name) || self.is_host(name) || self.is_update_host(name, None) {
                return Err(AccountError::DomainTaken(name.clone()));
            }
        }
        if let Some(name) = new.domains.iter().find(|name| self.is_anothers(name, None)) {
            return Err(AccountError::NameRetired(name.clone()));
        }
        let (id, endpoint) = (AccountId(self.next_row()), EndpointId(self.next_row()));
        self.add_key(BeatKeyRecord { endpoint, ..new.key })?;
        self.note(change, Some(id), format!("account.add {}", new.name));
        let owner = self.new_owner(new.name.as_str());
        self.memberships.insert((owner, id), Role::Owner);
        let (status, at) = (AccountStatus::Active, change.at);
        self.accounts
            .insert(id, Account { id, name: new.name, status, status_since: at, created_at: at, online_mode: None });
        for name in new.domains.iter().chain([&new.host]) {
            self.retired.remove(name);
        }
        for name in new.domains.into_iter().filter(|name| *name != new.host) {
            self.domains.insert(name.clone(), Domain { name, account: id, endpoints: vec![endpoint] });
        }
        let server = Endpoint {
            id: endpoint,
            account: id,
            host: new.host,
            smtp_port: new.smtp_port,
            address_v4: None,
            address_v6: None,
            pin: None,
            manners: None,
        };
        self.endpoints.insert(endpoint, server);
        Ok((id, endpoint))
    }

    fn remove(&mut self, id: AccountId, change: &Change) -> Changed<()> {
        let name = self.require_account(id)?.name.clone();
        let is_held = |state| state != RecipientState::Delivered;
        let held = self.messages.values().filter(|m| m.recipients.iter().any(|r| r.account == id && is_held(r.state)));
        let messages = held.count() as u64;
        if messages > 0 {
            return Err(AccountError::MailHeld { messages });
        }
        for stored in self.messages.values_mut() {
            for recipient in stored.recipients.iter_mut().filter(|recipient| recipient.account == id) {
                recipient.is_removed = true;
            }
        }
        self.messages.retain(|_, stored| stored.recipients.iter().any(|recipient| !recipient.is_removed));
        self.counters.remove(&id);
        self.holds.remove(&id);
        let members: Vec<PersonId> = self.memberships.keys().filter(|(_, a)| *a == id).map(|(p, _)| *p).collect();
        self.memberships.retain(|(_, account), _| *account != id);
        for person in members {
            let is_elsewhere = self.memberships.keys().any(|(member, _)| *member == person);
            if !is_elsewhere && self.people.get(&person).is_some_and(|known| !known.is_operator) {
                self.people.remove(&person);
                self.links.retain(|_, (whom, _)| *whom != person);
                self.sessions.retain(|_, (whom, _)| *whom != person);
            }
        }
        let pointed = |e: &&Endpoint| e.account == id && (e.address_v4.is_some() || e.address_v6.is_some());
        let mut dynamic: Vec<DomainName> = self.endpoints.values().filter(pointed).map(|e| e.host.clone()).collect();
        let further = self.updates.hosts.iter().filter(|host| host.account == id && host.changed_at.is_some());
        dynamic.extend(further.map(|host| host.name.clone()));
        for name in dynamic {
            self.retire_dynamic(name, id, change.at);
        }
        let retired = Retired { account: id, is_dynamic: false, deferred_until: change.at };
        for name in self.domains.values().filter(|domain| domain.account == id).map(|domain| &domain.name) {
            self.retired.entry(name.clone()).or_insert(retired);
        }
        self.domains.retain(|_, domain| domain.account != id);
        self.endpoints.retain(|_, endpoint| endpoint.account != id);
        let endpoints = &self.endpoints;
        self.beat_keys.retain(|key| endpoints.contains_key(&key.endpoint));
        self.lines.retain(|endpoint, _| endpoints.contains_key(endpoint));
        self.history.retain(|(account, _, _)| *account != id);
        self.accounts.remove(&id);
        self.prune_updates();
        self.prune_names();
        self.prune_alerts();
        self.forget_recipients(id, None);
        self.prune_people();
        self.note(change, Some(id), format!("account.remove {name}"));
        Ok(())
    }

    fn redeem(&mut self, link: [u8; 32], session: [u8; 32], ends: WallTime, now: WallTime) -> Changed<PersonId> {
        let Some((person, _)) = self.links.get(&link).copied().filter(|(_, expires_at)| *expires_at > now) else {
            return Err(AccountError::LinkSpent);
        };
        let is_taken = self.sessions.get(&session).is_some_and(|(_, ends)| *ends > now);
        if is_taken {
            return Err(AccountError::LinkSpent);
        }
        let who = self.person_name(person)?;
        self.links.remove(&link);
        self.links.retain(|_, (_, expires_at)| *expires_at > now);
        self.sessions.retain(|_, (_, ends)| *ends > now);
        self.sessions.insert(session, (person, ends));
        self.note(&Change { at: now, who }, None, "session.open".to_owned());
        Ok(person)
    }
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn load_directory(&self, now: WallTime) -> Changed<Directory> {
        let tables = self.tables();
        let is_valid = |key: &&BeatKeyRecord| key.expires_at.is_none_or(|expires_at| expires_at > now);
        let kept = |(name, retired): (&DomainName, &Retired)| {
            (name.clone(), Kept::Retired { deferred_until: retired.deferred_until })
        };
        Ok(Directory::new(
            tables.accounts.values().cloned().collect(),
            tables.endpoints.values().cloned().collect(),
            tables.domains.values().cloned().collect(),
            tables.beat_keys.iter().filter(is_valid).cloned().collect(),
        )
        .with_kept(tables.retired.iter().map(kept).collect())
        .with_preferences(tables.preferences.iter().map(|(id, chosen)| (*id, chosen.clone())).collect()))
    }

    async fn create_account(&self, new: NewAccount, change: Change) -> Changed<(AccountId, EndpointId)> {
        self.tables().create(new, &change)
    }

    async fn set_status(&self, account: AccountId, status: AccountStatus, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let known = tables.accounts.get_mut(&account).ok_or(AccountError::NoAccount)?;
        if known.status != status {
            (known.status, known.status_since) = (status, change.at);
            let what = format!("account.status {} {}", known.name, status.as_str());
            tables.note(&change, Some(account), what);
        }
        Ok(())
    }

    async fn set_online_mode(&self, account: AccountId, mode: Option<OnlineMode>, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let known = tables.accounts.get_mut(&account).ok_or(AccountError::NoAccount)?;
        if known.online_mode != mode {
            known.online_mode = mode;
            let what = format!("account.online {} {}", known.name, mode.map_or("default", OnlineMode::as_str));
            tables.note(&change, Some(account), what);
        }
        Ok(())
    }

    async fn remove_account(&self, account: AccountId, change: Change) -> Changed<()> {
        self.tables().remove(account, &change)
    }

    async fn add_domain(
        &self,
        account: AccountId,
        domain: DomainName,
        endpoints: Vec<EndpointId>,
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        tables.require_account(account)?;
        if tables.domain_is_new(account, &domain)? {
            if endpoints.is_empty() {
                return Err(AccountError::Engine(misuse("a domain needs at least one mail server")));
            }
            let is_own = |id| tables.endpoints.get(id).is_some_and(|endpoint| endpoint.account == account);
            if !endpoints.iter().all(is_own) {
                return Err(AccountError::Engine(misuse("a domain is routed to mail servers of its own account")));
            }
            tables.retired.remove(&domain);
            tables.domains.insert(domain.clone(), Domain { name: domain.clone(), account, endpoints });
        }
        tables.note(&change, Some(account), format!("domain.add {domain}"));
        Ok(())
    }

    async fn remove_domain(&self, account: AccountId, domain: DomainName, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.require_account(account)?;
        if tables.domains.get(&domain).is_none_or(|known| known.account != account) {
            return Err(AccountError::NoDomain(domain));
        }
        tables.domains.remove(&domain);
        tables.forget_recipients(account, Some(&domain));
        let retired = Retired { account, is_dynamic: false, deferred_until: change.at + LEAVING_FOR };
        tables
            .retired
            .entry(domain.clone())
            .and_modify(|r| r.deferred_until = retired.deferred_until)
            .or_insert(retired);
        tables.note(&change, Some(account), format!("domain.remove {domain}"));
        Ok(())
    }

    async fn rotate_key(&self, key: BeatKeyRecord, old_keys_expire_at: WallTime, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let endpoint = key.endpoint;
        let account = tables.endpoints.get(&endpoint).map(|e| e.account).ok_or(AccountError::NoAccount)?;
        let old: Vec<[u8; 8]> = tables
            .beat_keys
            .iter()
            .filter(|known| known.endpoint == endpoint && known.expires_at.is_none_or(|at| at > old_keys_expire_at))
            .map(|known| known.locator)
            .collect();
        tables.add_key(key)?;
        for known in tables.beat_keys.iter_mut().filter(|known| old.contains(&known.locator)) {
            known.expires_at = Some(old_keys_expire_at);
        }
        tables.note(&change, Some(account), format!("key.rotate endpoint {endpoint}"));
        Ok(())
    }

    async fn set_pin(&self, endpoint: EndpointId, pin: Option<[u8; 32]>, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let known = tables.endpoints.get_mut(&endpoint).ok_or(AccountError::NoAccount)?;
        known.pin = pin;
        let account = known.account;
        let key = pin.map_or_else(|| "none".to_owned(), |key| data_encoding::HEXLOWER.encode(&key));
        tables.note(&change, Some(account), format!("endpoint.pin {endpoint} {key}"));
        Ok(())
    }

    async fn set_preferences(
        &self,
        account: AccountId,
        preferences: Preferences,
        what: String,
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        if !tables.accounts.contains_key(&account) {
            return Err(AccountError::NoAccount);
        }
        tables.preferences.insert(account, preferences);
        tables.note(&change, Some(account), what);
        Ok(())
    }

    async fn set_manners(&self, endpoint: EndpointId, manners: Manners) -> Changed<()> {
        let mut tables = self.tables();
        tables.endpoints.get_mut(&endpoint).ok_or(AccountError::NoAccount)?.manners = Some(manners);
        Ok(())
    }

    async fn ensure_person(&self, name: &str, is_operator: bool, change: Change) -> Changed<PersonId> {
        let mut tables = self.tables();
        let (person, is_new) = tables.person_named(name, is_operator)?;
        if is_new {
            tables.note(&change, None, format!("person.add {name}"));
        }
        Ok(person)
    }

    async fn owner_of(&self, account: AccountId) -> Changed<Option<PersonId>> {
        let tables = self.tables();
        let mut owners =
            tables.memberships.iter().filter(|((_, place), role)| *place == account && **role == Role::Owner);
        Ok(owners.next().map(|((person, _), _)| *person))
    }

    async fn person(&self, person: PersonId) -> Changed<Option<(Person, Vec<Membership>)>> {
        let tables = self.tables();
        let places = tables.memberships.iter().filter(|((member, _), _)| *member == person);
        let places =
            places.map(|((person, account), role)| Membership { person: *person, account: *account, role: *role });
        Ok(tables.people.get(&person).map(|known| (known.clone(), places.collect())))
    }

    async fn set_membership(&self, person: PersonId, account: AccountId, role: Role, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.require_account(account)?;
        let name = tables.person_name(person)?;
        tables.memberships.insert((person, account), role);
        tables.note(&change, Some(account), format!("membership.set {name} {}", role_word(role)));
        Ok(())
    }

    async fn add_link(&self, link: SignInLink, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        let name = tables.person_name(link.person)?;
        if tables.links.contains_key(&link.secret_hash) {
            return Err(AccountError::LinkSpent);
        }
        tables.links.insert(link.secret_hash, (link.person, link.expires_at));
        tables.note(&change, None, format!("link.add {name}"));
        Ok(())
    }

    async fn redeem_link(
        &self,
        link_hash: [u8; 32],
        session_hash: [u8; 32],
        session_expires_at: WallTime,
        now: WallTime,
    ) -> Changed<PersonId> {
        self.tables().redeem(link_hash, session_hash, session_expires_at, now)
    }

    async fn session(&self, secret_hash: [u8; 32], now: WallTime) -> Changed<Option<WebSession>> {
        let tables = self.tables();
        let known = tables.sessions.get(&secret_hash).filter(|(_, expires_at)| *expires_at > now);
        let seen_at = tables.people_rows.seen_at(secret_hash);
        let session = |(person, expires_at): &(PersonId, WallTime)| WebSession {
            secret_hash,
            person: *person,
            expires_at: *expires_at,
            seen_at,
        };
        Ok(known.map(session))
    }

    async fn end_session(&self, secret_hash: [u8; 32]) -> Changed<()> {
        self.tables().sessions.remove(&secret_hash);
        Ok(())
    }

    async fn note(&self, what: String, change: Change) -> Changed<()> {
        self.tables().note(&change, None, what);
        Ok(())
    }

    async fn note_of(&self, account: AccountId, what: String, change: Change) -> Changed<()> {
        self.tables().note(&change, Some(account), what);
        Ok(())
    }

    async fn audit(&self, account: Option<AccountId>, limit: u32) -> Changed<Vec<AuditEntry>> {
        let tables = self.tables();
        let rows = tables.audit.iter().rev().filter(|row| account.is_none() || row.account == account);
        Ok(rows.take(limit.min(1_000) as usize).cloned().collect())
    }
}
