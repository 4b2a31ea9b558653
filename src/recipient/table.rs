//! All that is known of recipients, in memory, and the judgement over one of them.
//!
//! A name costs a hash of 64 bits and 32 octets beside it, so that a million names fit in some 80 MB. The hash is keyed
//! anew at each start (SipHash of the standard library): nobody can choose names that collide.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::model::{
    CALL_OUT_APART, CALL_OUT_EVERY, CallOut, LEARNED_PER_ACCOUNT_MAX, LIST_FRESH_FOR, Learned, ListEntry, Policy,
    Unknown, WithoutList, comparable, hashed,
};
use super::store::{DomainRow, RecipientRows};
use crate::base::{AccountId, DomainName, LocalPart, WallTime};

/// What is known of one recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knowledge {
    /// On the customer's list, by name.
    Listed,
    /// The customer's server accepted it.
    Accepted,
    /// The customer's server refused it a moment ago.
    Refused,
    /// Covered by a pattern of the list.
    Covered,
    /// Not on a list that is believed.
    Unlisted,
    /// Not on a list that is too old to be believed.
    Doubtful,
    /// There is no list.
    Unknown,
}

/// What to say to the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Take the mail.
    Accept,
    /// 450: nobody here can tell.
    Defer,
    /// 550: there is no such mailbox.
    Reject,
}

impl Knowledge {
    /// Whether mail for it ought to be taken by the customer's server: a refusal says more of that server than of it.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Listed | Self::Accepted)
    }

    /// What follows. While the server is there it judges itself, except where it has just done so.
    #[must_use]
    pub const fn judgement(self, unknown: Unknown, without_list: WithoutList, is_there: bool) -> Judgement {
        match (self, unknown) {
            (Self::Listed | Self::Accepted | Self::Covered, _) => Judgement::Accept,
            (Self::Refused, _) => Judgement::Reject,
            (Self::Unlisted | Self::Doubtful | Self::Unknown, _) if is_there => Judgement::Accept,
            (Self::Unlisted, Unknown::ByList) => Judgement::Reject,
            (Self::Doubtful, Unknown::ByList) => Judgement::Defer,
            (Self::Unknown, Unknown::ByList) => match without_list {
                WithoutList::Accept => Judgement::Accept,
                WithoutList::Defer => Judgement::Defer,
                WithoutList::Reject => Judgement::Reject,
            },
            (_, Unknown::Accept) => Judgement::Accept,
            (_, Unknown::Defer) => Judgement::Defer,
            (_, Unknown::Reject) => Judgement::Reject,
        }
    }
}

/// A server's word that only renews what it said before is worth a row after a day.
const WORTH_A_ROW_S: i64 = 86_400;

/// What is known of one name.
#[derive(Clone, Copy, Debug)]
struct Known {
    account: AccountId,
    /// The list that has it; zero for none.
    list: u32,
    /// What the server said, and when that is no longer believed: seconds since 1970.
    learned: Option<(bool, i64)>,
}

impl Known {
    const fn of(account: AccountId) -> Self {
        Self { account, list: 0, learned: None }
    }
}

/// What is known of one domain beside the names.
#[derive(Clone, Debug, Default)]
struct Domain {
    policy: Policy,
    /// Its list, by a number that no other list has. Zero for none.
    list: u32,
    list_at: Option<WallTime>,
    hash_key: Option<Vec<u8>>,
    patterns: Vec<ListEntry>,
    entries: usize,
    call_out: Option<CallOut>,
    /// When the server was to be asked last.
    called_at: Option<WallTime>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Table {
    keys: RandomState,
    names: HashMap<u64, Known>,
    domains: HashMap<(AccountId, DomainName), Domain>,
    lists: u32,
    without_list: WithoutList,
    /// Names of each account of which its server said something.
    learned: HashMap<AccountId, usize>,
}

impl Table {
    /// A table of all rows.
    #[must_use]
    pub fn new(rows: RecipientRows) -> Self {
        let mut table = Self::default();
        for (row, entries) in rows.domains {
            table.set_domain(row, entries);
        }
        for learned in rows.learned {
            table.learn(&learned);
        }
        table
    }

    /// Settles what is done in domains without a list whose owners settled nothing.
    #[must_use]
    pub const fn without_list(mut self, rule: WithoutList) -> Self {
        self.set_without_list(rule);
        self
    }

    /// The same for a table in use.
    pub const fn set_without_list(&mut self, rule: WithoutList) {
        self.without_list = rule;
    }

    /// What was settled so.
    #[must_use]
    pub const fn rule_without_list(&self) -> WithoutList {
        self.without_list
    }

    fn key_of(&self, account: AccountId, domain: &DomainName, name: &str) -> u64 {
        self.keys.hash_one((account.0, domain.as_str(), name))
    }

    /// Takes the settings and the list of a domain in place of those before.
    pub fn set_domain(&mut self, row: DomainRow, entries: impl IntoIterator<Item = ListEntry>) {
        let DomainRow { account, domain, policy, list_at, hash_key, call_out } = row;
        self.forget(account, &domain);
        self.lists += 1;
        let mut known = Domain { policy, list: self.lists, list_at, hash_key, call_out, ..Domain::default() };
        for entry in entries {
            known.entries += 1;
            match entry {
                ListEntry::Pattern { .. } => known.patterns.push(entry),
                ListEntry::Name(_) | ListEntry::Hash(_) => {
                    let key = self.key_of(account, &domain, &entry.to_string());
                    self.names.entry(key).or_insert(Known::of(account)).list = known.list;
                }
            }
        }
        self.domains.insert((account, domain), known);
    }

    /// Changes the settings of a domain and leaves its list.
    pub fn set_policy(&mut self, account: AccountId, domain: DomainName, policy: Policy) {
        self.domains.entry((account, domain)).or_default().policy = policy;
    }

    /// Forgets settings and list of a domain. What its server said stays until it runs out.
    pub fn forget(&mut self, account: AccountId, domain: &DomainName) {
        let Some(gone) = self.domains.remove(&(account, domain.clone())) else { return };
        if gone.entries > gone.patterns.len() {
            self.names.retain(|_, known| {
                if known.list == gone.list {
                    known.list = 0;
                }
                known.list != 0 || known.learned.is_some()
            });
        }
    }

    /// Takes in what a server said. Whether that is new, so that it is worth a row. An account that has learned enough
    /// learns of no further name: a server that takes everything would teach us without end.
    pub fn learn(&mut self, learned: &Learned) -> bool {
        let key = self.key_of(learned.account, &learned.domain, &learned.name);
        if learned.is_accepted && self.takes_everybody(learned.account, &learned.domain) {
            // It takes back a no, and tells nothing else.
            if let Some(known) = self.names.get_mut(&key) {
                known.learned = known.learned.filter(|(said, _)| *said);
            }
            return false;
        }
        let (says, ends) = (learned.is_accepted, learned.ends().timestamp());
        let before = self.names.get(&key).and_then(|known| known.learned);
        let own = self.learned.entry(learned.account).or_default();
        if before.is_none() {
            if *own >= LEARNED_PER_ACCOUNT_MAX {
                return false;
            }
            *own += 1;
        }
        let known = self.names.entry(key).or_insert(Known::of(learned.account));
        let is_new = known.learned.is_none_or(|(said, before)| said != says || ends - before >= WORTH_A_ROW_S);
        if is_new || !says {
            known.learned = Some((says, ends));
        }
        is_new
    }

    /// What the server of a domain said of an address that nobody has.
    #[must_use]
    pub fn call_out(&self, account: AccountId, domain: &DomainName) -> Option<CallOut> {
        self.domains.get(&(account, domain.clone()))?.call_out
    }

    fn takes_everybody(&self, account: AccountId, domain: &DomainName) -> bool {
        self.call_out(account, domain).is_some_and(|said| said.takes_everybody)
    }

    /// Whether that is to be asked now.
    #[must_use]
    pub fn wants_call_out(&self, account: AccountId, domain: &DomainName, now: WallTime) -> bool {
        let Some(known) = self.domains.get(&(account, domain.clone())) else { return true };
        known.call_out.is_none_or(|said| said.at + CALL_OUT_EVERY <= now)
            && known.called_at.is_none_or(|at| at + CALL_OUT_APART <= now)
    }

    /// It is going to be asked.
    pub fn handle_calling(&mut self, account: AccountId, domain: DomainName, now: WallTime) {
        self.domains.entry((account, domain)).or_default().called_at = Some(now);
    }

    /// It was asked.
    pub fn set_call_out(&mut self, account: AccountId, domain: DomainName, said: CallOut) {
        self.domains.entry((account, domain)).or_default().call_out = Some(said);
    }

    /// Domains of which anything but single names is known.
    #[must_use]
    pub fn domains(&self) -> Vec<(AccountId, DomainName)> {
        let mut all: Vec<_> = self.domains.keys().cloned().collect();
        all.sort();
        all
    }

    /// Domains whose list refuses nobody any more because of its age, and when that was uploaded.
    #[must_use]
    pub fn stale_lists(&self, now: WallTime) -> Vec<(AccountId, DomainName, WallTime)> {
        let is_stale = |known: &Domain| {
            let at = known.list_at.filter(|at| *at + LIST_FRESH_FOR <= now)?;
            (known.policy.unknown == Unknown::ByList).then_some(at)
        };
        let stale = self
            .domains
            .iter()
            .filter_map(|((account, domain), known)| is_stale(known).map(|at| (*account, domain.clone(), at)));
        let mut stale: Vec<_> = stale.collect();
        stale.sort();
        stale
    }

    /// Lets go of what is no longer believed.
    pub fn sweep(&mut self, now: WallTime) {
        let now = now.timestamp();
        let learned = &mut self.learned;
        learned.clear();
        self.names.retain(|_, known| {
            known.learned = known.learned.filter(|(_, ends)| *ends > now);
            if known.learned.is_some() {
                *learned.entry(known.account).or_default() += 1;
            }
            known.learned.is_some() || known.list != 0
        });
    }

    /// Names and patterns of the list of a domain, and when it was uploaded.
    #[must_use]
    pub fn list_of(&self, account: AccountId, domain: &DomainName) -> Option<(usize, WallTime)> {
        let known = self.domains.get(&(account, domain.clone()))?;
        Some((known.entries, known.list_at?))
    }

    /// Names of an account of which its server said something.
    #[must_use]
    pub fn learned_of(&self, account: AccountId) -> usize {
        self.learned.get(&account).copied().unwrap_or(0)
    }

    /// What a customer settled for a domain.
    #[must_use]
    pub fn policy(&self, account: AccountId, domain: &DomainName) -> Policy {
        self.domains.get(&(account, domain.clone())).map(|known| known.policy.clone()).unwrap_or_default()
    }

    /// What is known of a mailbox.
    #[must_use]
    pub fn knowledge(
        &self,
        account: AccountId,
        domain: &DomainName,
        local_part: &LocalPart,
        now: WallTime,
    ) -> Knowledge {
        let whole = comparable(local_part);
        let rules = self.domains.get(&(account, domain.clone()));
        let separator = rules.and_then(|rules| rules.policy.separator);
        let bare = separator.and_then(|separator| whole.split_once(separator)).map(|(name, _)| name);
        let names = || [Some(whole.as_str()), bare.filter(|name| !name.is_empty())].into_iter().flatten();
        let known = |name: &str| self.names.get(&self.key_of(account, domain, name)).copied();
        let is_listed = |name: &str| {
            rules.is_some_and(|rules| {
                let is_there = |known: Option<Known>| {
                    rules.list_at.is_some() && known.is_some_and(|known| known.list == rules.list)
                };
                let hashed = |key: &Vec<u8>| ListEntry::Hash(hashed(key, name, domain)).to_string();
                is_there(known(name)) || rules.hash_key.as_ref().is_some_and(|key| is_there(known(&hashed(key))))
            })
        };
        if names().any(is_listed) {
            return Knowledge::Listed;
        }
        let said = |name: &str| known(name).and_then(|known| known.learned).filter(|(_, ends)| *ends > now.timestamp());
        let takes_everybody = rules.is_some_and(|rules| rules.call_out.is_some_and(|said| said.takes_everybody));
        match names().find_map(said).filter(|(is_accepted, _)| !(*is_accepted && takes_everybody)) {
            Some((true, _)) => return Knowledge::Accepted,
            Some((false, _)) => return Knowledge::Refused,
            None => {}
        }
        let Some((rules, list_at)) = rules.and_then(|rules| Some((rules, rules.list_at?))) else {
            return Knowledge::Unknown;
        };
        if rules.patterns.iter().any(|pattern| names().any(|name| pattern.covers(name))) {
            return Knowledge::Covered;
        }
        if now < list_at + LIST_FRESH_FOR { Knowledge::Unlisted } else { Knowledge::Doubtful }
    }

    /// What to say to the sender of a mail to that mailbox. `postmaster` and `abuse` always have their mail (RFC 5321 §4.5.1,
    /// RFC 2142 §4).
    #[must_use]
    pub fn judge(
        &self,
        account: AccountId,
        domain: &DomainName,
        local_part: &LocalPart,
        is_there: bool,
        now: WallTime,
    ) -> Judgement {
        if local_part.is_role() {
            return Judgement::Accept;
        }
        let unknown = self.policy(account, domain).unknown;
        self.knowledge(account, domain, local_part, now).judgement(unknown, self.without_list, is_there)
    }
}

/// The table as many read it and one changes it.
#[derive(Clone, Debug, Default)]
pub struct RecipientBook(Arc<RwLock<Table>>);

impl RecipientBook {
    /// A book of all rows.
    #[must_use]
    pub fn new(rows: RecipientRows, without_list: WithoutList) -> Self {
        Self(Arc::new(RwLock::new(Table::new(rows).without_list(without_list))))
    }

    /// Looks something up.
    pub fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
