//! Lists of recipients and what servers said of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::account::audit;
use super::job::Terms;
use super::row::{self, parsed, readable};
use crate::account::Change;
use crate::base::{AccountId, DomainName, WallTime};
use crate::recipient::model::{ACCEPTED_FOR, ENTRIES_PER_ACCOUNT_MAX, LEARNED_PER_ACCOUNT_MAX, REFUSED_FOR};
use crate::recipient::{
    CallOut, DomainRow, Learned, ListEntry, NewList, Policy, RecipientError, RecipientRows, RecipientStore, Unknown,
};

type Changed<T> = Result<T, RecipientError>;

fn load(db: &Connection, now: WallTime) -> rusqlite::Result<RecipientRows> {
    let mut entries: BTreeMap<(i64, String), Vec<ListEntry>> = BTreeMap::new();
    let mut statement =
        db.prepare_cached("SELECT account, domain, entry FROM recipient_entry ORDER BY account, domain, entry")?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, parsed(row, 2, str::parse::<ListEntry>)?)))?;
    for (account, domain, entry) in readable("recipient_entry", rows)? {
        entries.entry((account, domain)).or_default().push(entry);
    }
    let mut statement = db.prepare_cached(
        "SELECT account, domain, unknown, separator, list_at, hash_key, call_out, call_out_at
         FROM recipient_domain ORDER BY account, domain",
    )?;
    let rows = statement.query_map([], |row| {
        let separator: Option<String> = row.get(3)?;
        Ok(DomainRow {
            account: AccountId(row.get(0)?),
            domain: parsed(row, 1, DomainName::parse)?,
            policy: Policy {
                unknown: parsed(row, 2, str::parse::<Unknown>)?,
                separator: separator.and_then(|text| text.chars().next()),
            },
            list_at: row.get::<_, Option<i64>>(4)?.map(row::time),
            hash_key: row.get(5)?,
            call_out: row
                .get::<_, Option<bool>>(6)?
                .zip(row.get::<_, Option<i64>>(7)?)
                .map(|(takes_everybody, at)| CallOut { takes_everybody, at: row::time(at) }),
        })
    })?;
    let domains = readable("recipient_domain", rows)?.into_iter().map(|row| {
        let own = entries.remove(&(row.account.0, row.domain.as_str().to_owned())).unwrap_or_default();
        (row, own)
    });
    let domains = domains.collect();
    let mut statement = db.prepare_cached(
        "SELECT account, domain, name, is_accepted, at FROM recipient_learned ORDER BY account, domain, name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Learned {
            account: AccountId(row.get(0)?),
            domain: parsed(row, 1, DomainName::parse)?,
            name: row.get(2)?,
            is_accepted: row.get(3)?,
            at: row::time(row.get(4)?),
        })
    })?;
    let mut learned = readable("recipient_learned", rows)?;
    learned.retain(|learned| learned.ends() > now);
    Ok(RecipientRows { domains, learned })
}

fn require_account(db: &Connection, account: AccountId) -> Changed<()> {
    let is_there = db.prepare_cached("SELECT 1 FROM account WHERE id = ?1")?.exists([account.0])?;
    if is_there { Ok(()) } else { Err(RecipientError::NoAccount) }
}

/// The row of a domain, made with the ordinary settings if it is missing.
fn ensure_domain(db: &Connection, account: AccountId, domain: &DomainName) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO recipient_domain (account, domain, unknown) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![account.0, domain.as_str(), Unknown::default().as_str()])
    .map(drop)
}

fn delete_entries(db: &Connection, account: AccountId, domain: &DomainName) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM recipient_entry WHERE account = ?1 AND domain = ?2")?
        .execute(params![account.0, domain.as_str()])
        .map(drop)
}

fn replace(db: &Connection, account: AccountId, domain: &DomainName, list: &NewList, change: &Change) -> Changed<()> {
    require_account(db, account)?;
    let others: i64 = db
        .prepare_cached("SELECT count(*) FROM recipient_entry WHERE account = ?1 AND domain <> ?2")?
        .query_row(params![account.0, domain.as_str()], |row| row.get(0))?;
    let whole = row::count(others).saturating_add(u64::try_from(list.entries.len()).unwrap_or(u64::MAX));
    if whole > u64::try_from(ENTRIES_PER_ACCOUNT_MAX).unwrap_or(u64::MAX) {
        return Err(RecipientError::Full);
    }
    ensure_domain(db, account, domain)?;
    delete_entries(db, account, domain)?;
    db.prepare_cached("UPDATE recipient_domain SET list_at = ?3, hash_key = ?4 WHERE account = ?1 AND domain = ?2")?
        .execute(params![account.0, domain.as_str(), row::stored_time(change.at), list.hash_key])?;
    let mut insert = db.prepare_cached("INSERT INTO recipient_entry (account, domain, entry) VALUES (?1, ?2, ?3)")?;
    for entry in &list.entries {
        insert.execute(params![account.0, domain.as_str(), entry.to_string()])?;
    }
    audit(db, change, Some(account), &format!("recipients.replace {domain} {}", list.entries.len()))?;
    Ok(())
}

fn forget(db: &Connection, account: AccountId, domain: &DomainName, change: &Change) -> Changed<()> {
    require_account(db, account)?;
    delete_entries(db, account, domain)?;
    db.prepare_cached(
        "UPDATE recipient_domain SET list_at = NULL, hash_key = NULL WHERE account = ?1 AND domain = ?2",
    )?
    .execute(params![account.0, domain.as_str()])?;
    audit(db, change, Some(account), &format!("recipients.forget {domain}"))?;
    Ok(())
}

fn settle(db: &Connection, account: AccountId, domain: &DomainName, policy: &Policy, change: &Change) -> Changed<()> {
    require_account(db, account)?;
    ensure_domain(db, account, domain)?;
    let separator = policy.separator.map(String::from);
    db.prepare_cached("UPDATE recipient_domain SET unknown = ?3, separator = ?4 WHERE account = ?1 AND domain = ?2")?
        .execute(params![account.0, domain.as_str(), policy.unknown.as_str(), separator])?;
    let detail = separator.as_deref().unwrap_or("none");
    audit(db, change, Some(account), &format!("recipients.set {domain} {} {detail}", policy.unknown.as_str()))?;
    Ok(())
}

fn learn(db: &Connection, learned: &[Learned]) -> rusqlite::Result<()> {
    let mut count = db.prepare_cached("SELECT count(*) FROM recipient_learned WHERE account = ?1")?;
    let mut insert = db.prepare_cached(
        "INSERT INTO recipient_learned (account, domain, name, is_accepted, at)
         SELECT id, ?2, ?3, ?4, ?5 FROM account WHERE id = ?1
         ON CONFLICT (account, domain, name) DO UPDATE SET is_accepted = excluded.is_accepted, at = excluded.at",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE recipient_learned SET is_accepted = ?4, at = ?5 WHERE account = ?1 AND domain = ?2 AND name = ?3",
    )?;
    let mut full: BTreeMap<i64, bool> = BTreeMap::new();
    for one in learned {
        let is_full = match full.get(&one.account.0) {
            Some(known) => *known,
            None => {
                let rows: i64 = count.query_row([one.account.0], |row| row.get(0))?;
                let is_full = usize::try_from(rows).is_ok_and(|rows| rows >= LEARNED_PER_ACCOUNT_MAX);
                full.insert(one.account.0, is_full);
                is_full
            }
        };
        let at = row::stored_time(one.at);
        if is_full {
            let known = params![one.account.0, one.domain.as_str(), one.name, one.is_accepted, at];
            update.execute(known)?;
        } else {
            insert.execute(params![one.account.0, one.domain.as_str(), one.name, one.is_accepted, at])?;
        }
    }
    Ok(())
}

fn set_call_out(db: &Connection, account: AccountId, domain: &DomainName, said: CallOut) -> Changed<()> {
    require_account(db, account)?;
    ensure_domain(db, account, domain)?;
    let CallOut { takes_everybody, at } = said;
    db.prepare_cached(
        "UPDATE recipient_domain SET call_out = ?3, call_out_at = ?4 WHERE account = ?1 AND domain = ?2",
    )?
    .execute(params![account.0, domain.as_str(), takes_everybody, row::stored_time(at)])?;
    Ok(())
}

fn purge(db: &Connection, now: WallTime) -> rusqlite::Result<u64> {
    let removed = db
        .prepare_cached(
            "DELETE FROM recipient_learned WHERE (is_accepted = 1 AND at <= ?1) OR (is_accepted = 0 AND at <= ?2)",
        )?
        .execute(params![row::stored_time(now - ACCEPTED_FOR), row::stored_time(now - REFUSED_FOR)])?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

/// What is known of a domain goes when it is no longer served for the account.
pub(super) fn forget_domain(db: &Connection, account: AccountId, domain: &DomainName) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM recipient_domain WHERE account = ?1 AND domain = ?2",
        "DELETE FROM recipient_learned WHERE account = ?1 AND domain = ?2",
    ] {
        db.prepare_cached(statement)?.execute(params![account.0, domain.as_str()])?;
    }
    Ok(())
}

fn entries(
    db: &Connection,
    account: AccountId,
    domain: &DomainName,
    after: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Vec<ListEntry>> {
    let mut statement = db.prepare_cached(
        "SELECT entry FROM recipient_entry WHERE account = ?1 AND domain = ?2 AND entry > ?3 ORDER BY entry LIMIT ?4",
    )?;
    let rows = statement.query_map(params![account.0, domain.as_str(), after.unwrap_or(""), limit], |row| {
        parsed(row, 0, str::parse::<ListEntry>)
    })?;
    readable("recipient_entry", rows)
}

#[async_trait]
impl RecipientStore for SqliteStore {
    async fn load_recipients(&self, now: WallTime) -> Changed<RecipientRows> {
        self.read(move |db| Ok(load(db, now)?)).await
    }

    async fn replace_list(&self, account: AccountId, domain: DomainName, list: NewList, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| replace(work.connection, account, &domain, &list, &change)).await
    }

    async fn forget_list(&self, account: AccountId, domain: DomainName, change: Change) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| forget(work.connection, account, &domain, &change)).await
    }

    async fn set_recipient_policy(
        &self,
        account: AccountId,
        domain: DomainName,
        policy: Policy,
        change: Change,
    ) -> Changed<()> {
        self.write(Terms::SYNCED, move |work| settle(work.connection, account, &domain, &policy, &change)).await
    }

    async fn learn(&self, learned: Vec<Learned>) -> Changed<()> {
        self.write(Terms::LAZY, move |work| Ok(learn(work.connection, &learned)?)).await
    }

    async fn set_call_out(&self, account: AccountId, domain: DomainName, said: CallOut) -> Changed<()> {
        self.write(Terms::LAZY, move |work| set_call_out(work.connection, account, &domain, said)).await
    }

    async fn purge_learned(&self, now: WallTime) -> Changed<u64> {
        self.write(Terms::LAZY, move |work| Ok(purge(work.connection, now)?)).await
    }

    async fn list_entries(
        &self,
        account: AccountId,
        domain: DomainName,
        after: Option<String>,
        limit: u32,
    ) -> Changed<Vec<ListEntry>> {
        self.read(move |db| Ok(entries(db, account, &domain, after.as_deref(), limit)?)).await
    }
}
