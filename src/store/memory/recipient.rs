//! Lists of recipients and what servers said of them, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::Change;
use crate::base::{AccountId, DomainName, WallTime};
use crate::recipient::model::{ENTRIES_PER_ACCOUNT_MAX, LEARNED_PER_ACCOUNT_MAX};
use crate::recipient::{
    CallOut, DomainRow, Learned, ListEntry, NewList, Policy, RecipientError, RecipientRows, RecipientStore,
};

type Changed<T> = Result<T, RecipientError>;

impl Tables {
    fn recipient_account(&self, account: AccountId) -> Changed<()> {
        if self.accounts.contains_key(&account) { Ok(()) } else { Err(RecipientError::NoAccount) }
    }

    fn recipient_domain(&mut self, account: AccountId, domain: &DomainName) -> &mut (DomainRow, Vec<ListEntry>) {
        let row = || DomainRow {
            account,
            domain: domain.clone(),
            policy: Policy::default(),
            list_at: None,
            hash_key: None,
            call_out: None,
        };
        self.recipients.domains.entry((account, domain.clone())).or_insert_with(|| (row(), Vec::new()))
    }

    /// What is known of a domain goes when it is no longer served for the account; of all of them with the account.
    pub(super) fn forget_recipients(&mut self, account: AccountId, domain: Option<&DomainName>) {
        let is_gone = |owner: AccountId, name: &DomainName| owner == account && domain.is_none_or(|d| d == name);
        self.recipients.domains.retain(|(owner, name), _| !is_gone(*owner, name));
        self.recipients.learned.retain(|(owner, name, _), _| !is_gone(*owner, name));
    }
}

#[async_trait]
impl RecipientStore for MemoryStore {
    async fn load_recipients(&self, now: WallTime) -> Changed<RecipientRows> {
        let tables = self.tables();
        Ok(RecipientRows {
            domains: tables.recipients.domains.values().cloned().collect(),
            learned: tables.recipients.learned.values().filter(|learned| learned.ends() > now).cloned().collect(),
        })
    }

    async fn replace_list(&self, account: AccountId, domain: DomainName, list: NewList, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.recipient_account(account)?;
        let others = tables.recipients.domains.iter().filter(|((owner, name), _)| *owner == account && *name != domain);
        let others: usize = others.map(|(_, (_, entries))| entries.len()).sum();
        if others + list.entries.len() > ENTRIES_PER_ACCOUNT_MAX {
            return Err(RecipientError::Full);
        }
        tables.note(&change, Some(account), format!("recipients.replace {domain} {}", list.entries.len()));
        let (row, entries) = tables.recipient_domain(account, &domain);
        (row.list_at, row.hash_key) = (Some(change.at), list.hash_key);
        *entries = list.entries.into_iter().collect();
        entries.sort_by_key(ToString::to_string);
        Ok(())
    }

    async fn forget_list(&self, account: AccountId, domain: DomainName, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.recipient_account(account)?;
        if let Some((row, entries)) = tables.recipients.domains.get_mut(&(account, domain.clone())) {
            (row.list_at, row.hash_key) = (None, None);
            entries.clear();
        }
        tables.note(&change, Some(account), format!("recipients.forget {domain}"));
        Ok(())
    }

    async fn set_recipient_policy(
        &self,
        account: AccountId,
        domain: DomainName,
        policy: Policy,
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        tables.recipient_account(account)?;
        let detail = policy.separator.map_or_else(|| "none".to_owned(), String::from);
        let what = format!("recipients.set {domain} {} {detail}", policy.unknown.as_str());
        tables.note(&change, Some(account), what);
        tables.recipient_domain(account, &domain).0.policy = policy;
        Ok(())
    }

    async fn learn(&self, learned: Vec<Learned>) -> Changed<()> {
        let mut tables = self.tables();
        for one in learned {
            let rows = tables.recipients.learned.keys().filter(|(owner, ..)| *owner == one.account).count();
            let key = (one.account, one.domain.clone(), one.name.clone());
            let has_place = rows < LEARNED_PER_ACCOUNT_MAX || tables.recipients.learned.contains_key(&key);
            if tables.accounts.contains_key(&one.account) && has_place {
                tables.recipients.learned.insert(key, one);
            }
        }
        Ok(())
    }

    async fn set_call_out(&self, account: AccountId, domain: DomainName, said: CallOut) -> Changed<()> {
        let mut tables = self.tables();
        tables.recipient_account(account)?;
        tables.recipient_domain(account, &domain).0.call_out = Some(said);
        Ok(())
    }

    async fn purge_learned(&self, now: WallTime) -> Changed<u64> {
        let mut tables = self.tables();
        let before = tables.recipients.learned.len();
        tables.recipients.learned.retain(|_, learned| learned.ends() > now);
        Ok((before - tables.recipients.learned.len()) as u64)
    }

    async fn list_entries(
        &self,
        account: AccountId,
        domain: DomainName,
        after: Option<String>,
        limit: u32,
    ) -> Changed<Vec<ListEntry>> {
        let tables = self.tables();
        let Some((_, entries)) = tables.recipients.domains.get(&(account, domain)) else { return Ok(Vec::new()) };
        let behind = entries.iter().filter(|entry| after.as_ref().is_none_or(|after| entry.to_string() > *after));
        Ok(behind.take(limit as usize).cloned().collect())
    }
}
