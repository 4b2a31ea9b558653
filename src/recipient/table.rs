//! All that is known of recipients, in memory, and the judgement over one of them.
//!
//! A name costs a hash of 64 bits and 32 octets beside it, so that a million names fit in some 80 MB. The hash is keyed
//! anew at each start (SipHash of the standard library): nobody can choose names that collide.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::model::{LEARNED_PER_ACCOUNT_MAX, LIST_FRESH_FOR, Learned, ListEntry, Policy, Unknown, comparable, hashed};
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
    pub const fn judgement(self, unknown: Unknown, is_there: bool) -> Judgement {
        match (self, unknown) {
            (Self::Listed | Self::Accepted | Self::Covered, _) => Judgement::Accept,
            (Self::Refused, _) => Judgement::Reject,
            (Self::Unlisted | Self::Doubtful | Self::Unknown, _) if is_there => Judgement::Accept,
            (Self::Unlisted, Unknown::ByList) => Judgement::Reject,
            (Self::Doubtful, Unknown::ByList) => Judgement::Defer,
            (Self::Unknown, Unknown::ByList) => Judgement::Accept,
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
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Table {
    keys: RandomState,
    names: HashMap<u64, Known>,
    domains: HashMap<(AccountId, DomainName), Domain>,
    lists: u32,
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

    fn key_of(&self, account: AccountId, domain: &DomainName, name: &str) -> u64 {
        self.keys.hash_one((account.0, domain.as_str(), name))
    }

    /// Takes the settings and the list of a domain in place of those before.
    pub fn set_domain(&mut self, row: DomainRow, entries: impl IntoIterator<Item = ListEntry>) {
        let DomainRow { account, domain, policy, list_at, hash_key } = row;
        self.forget(account, &domain);
        self.lists += 1;
        let mut known = Domain { policy, list: self.lists, list_at, hash_key, ..Domain::default() };
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
        match names().find_map(said) {
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
        self.knowledge(account, domain, local_part, now).judgement(unknown, is_there)
    }
}

/// The table as many read it and one changes it.
#[derive(Clone, Debug, Default)]
pub struct RecipientBook(Arc<RwLock<Table>>);

impl RecipientBook {
    /// A book of all rows.
    #[must_use]
    pub fn new(rows: RecipientRows) -> Self {
        Self(Arc::new(RwLock::new(Table::new(rows))))
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
mod tests {
    use super::*;
    use crate::base::Mailbox;
    use crate::recipient::list;
    use crate::recipient::model::{ACCEPTED_FOR, REFUSED_FOR};

    const FIRMA: AccountId = AccountId(1);

    fn domain() -> DomainName {
        DomainName::parse("firma.example").unwrap()
    }

    /// Seconds after the list was uploaded.
    fn at(second: i64) -> WallTime {
        WallTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn table(list: &str, policy: Policy) -> Table {
        let mut table = Table::default();
        let row = |list_at, hash_key| DomainRow { account: FIRMA, domain: domain(), policy, list_at, hash_key };
        if list.is_empty() {
            table.set_domain(row(None, None), []);
        } else {
            let lists = list::parse(list, &|_| true, Some(&domain()), Some(b"geheim")).unwrap();
            let list = lists[&domain()].clone();
            table.set_domain(row(Some(at(0)), list.hash_key), list.entries);
        }
        table
    }

    fn local(name: &str) -> LocalPart {
        Mailbox::parse(&format!("{name}@x.example"), true).unwrap().local_part
    }

    fn known(table: &Table, name: &str, second: i64) -> Knowledge {
        table.knowledge(FIRMA, &domain(), &local(name), at(second))
    }

    fn learned(name: &str, is_accepted: bool, second: i64) -> Learned {
        Learned { account: FIRMA, domain: domain(), name: name.to_owned(), is_accepted, at: at(second) }
    }

    #[test]
    fn the_list_is_believed_first_and_for_a_week() {
        let mut table = table(
            "anna
sales-*
",
            Policy::default(),
        );
        let week = i64::try_from(LIST_FRESH_FOR.as_secs()).unwrap();
        assert_eq!(known(&table, "ANNA", 1), Knowledge::Listed);
        assert_eq!(known(&table, "\"anna\"", 1), Knowledge::Listed);
        assert_eq!(known(&table, "sales-nord", 1), Knowledge::Covered);
        assert_eq!(known(&table, "bernd", week - 1), Knowledge::Unlisted);
        assert_eq!(known(&table, "bernd", week), Knowledge::Doubtful);
        table.learn(&learned("anna", false, 5));
        assert_eq!(known(&table, "anna", 6), Knowledge::Listed, "a refusal marks it and does not strike it off");
    }

    #[test]
    fn what_the_server_said_is_believed_for_a_while() {
        let mut table = table(
            "anna
*
",
            Policy::default(),
        );
        assert!(table.learn(&learned("new", true, 0)));
        assert!(table.learn(&learned("gone", false, 0)));
        assert!(!table.learn(&learned("new", true, 60)), "the same again is not worth a row");
        assert!(table.learn(&learned("new", true, 86_400)));
        let (accepted, refused) = (ACCEPTED_FOR.as_secs(), REFUSED_FOR.as_secs());
        let (accepted, refused) = (i64::try_from(accepted).unwrap(), i64::try_from(refused).unwrap());
        assert_eq!(known(&table, "new", 86_400 + accepted - 1), Knowledge::Accepted);
        assert_eq!(known(&table, "gone", refused - 1), Knowledge::Refused);
        assert_eq!(known(&table, "gone", refused), Knowledge::Covered);
        table.sweep(at(86_400 + accepted));
        assert_eq!(table.names.len(), 1);
        assert_eq!(known(&table, "anna", 86_400 + accepted), Knowledge::Listed);
    }

    #[test]
    fn a_server_that_takes_everything_teaches_so_much_and_no_more() {
        let mut table = Table::default();
        for name in 0..LEARNED_PER_ACCOUNT_MAX + 10 {
            table.learn(&learned(&format!("n{name}"), true, 0));
        }
        assert_eq!(table.names.len(), LEARNED_PER_ACCOUNT_MAX);
        assert!(table.learn(&learned("n1", false, 1)), "what is known may change");
        assert!(table.learn(&Learned { account: AccountId(2), ..learned("anna", true, 0) }), "others learn on");
        table.sweep(at(0) + REFUSED_FOR + std::time::Duration::from_secs(1));
        assert!(table.learn(&learned("new", true, 1)), "n1 made room");
    }

    #[test]
    fn details_are_cut_off_where_the_customer_says_so() {
        let plain = table(
            "anna
",
            Policy::default(),
        );
        assert_eq!(known(&plain, "anna+news", 1), Knowledge::Unlisted);
        let cut = table(
            "anna
",
            Policy { separator: Some('+'), ..Policy::default() },
        );
        assert_eq!(known(&cut, "Anna+News", 1), Knowledge::Listed);
        assert_eq!(known(&cut, "+news", 1), Knowledge::Unlisted);
    }

    #[test]
    fn a_list_of_hashes_tells_the_same_without_the_names() {
        let hash = ListEntry::Hash(hashed(b"geheim", "anna", &domain()));
        let table = table(
            &format!(
                "{hash}
"
            ),
            Policy::default(),
        );
        assert_eq!(known(&table, "Anna", 1), Knowledge::Listed);
        assert_eq!(known(&table, "bernd", 1), Knowledge::Unlisted);
    }

    #[test]
    fn another_account_and_another_list_know_nothing_of_this_one() {
        let mut table = table(
            "anna
",
            Policy::default(),
        );
        table.learn(&learned("bernd", true, 0));
        assert_eq!(table.knowledge(AccountId(2), &domain(), &local("anna"), at(1)), Knowledge::Unknown);
        let row = DomainRow {
            account: FIRMA,
            domain: domain(),
            policy: Policy::default(),
            list_at: Some(at(1)),
            hash_key: None,
        };
        table.set_domain(row, [ListEntry::Name("carla".to_owned())]);
        assert_eq!(known(&table, "anna", 2), Knowledge::Unlisted);
        assert_eq!(known(&table, "bernd", 2), Knowledge::Accepted);
        assert_eq!((known(&table, "carla", 2), table.names.len()), (Knowledge::Listed, 2));
        table.forget(FIRMA, &domain());
        assert_eq!(known(&table, "carla", 2), Knowledge::Unknown);
    }

    #[test]
    fn strangers_are_judged_by_list_age_choice_and_presence() {
        use Judgement::{Accept, Defer, Reject};
        let week = i64::try_from(LIST_FRESH_FOR.as_secs()).unwrap();
        let judged =
            |table: &Table, is_there, second| table.judge(FIRMA, &domain(), &local("stranger"), is_there, at(second));
        let listed = table(
            "anna
",
            Policy::default(),
        );
        assert_eq!((judged(&listed, false, 1), judged(&listed, false, week)), (Reject, Defer));
        assert_eq!(judged(&listed, true, 1), Accept, "a server that is there judges itself");
        assert_eq!(judged(&table("", Policy::default()), false, 1), Accept);
        for (unknown, judgement) in [(Unknown::Accept, Accept), (Unknown::Defer, Defer), (Unknown::Reject, Reject)] {
            let policy = Policy { unknown, ..Policy::default() };
            assert_eq!(
                judged(
                    &table(
                        "anna
",
                        policy.clone()
                    ),
                    false,
                    1
                ),
                judgement
            );
            assert_eq!(judged(&table("", policy), false, 1), judgement);
        }
        let mut refused = table("", Policy::default());
        refused.learn(&learned("stranger", false, 0));
        assert_eq!((judged(&refused, false, 1), judged(&refused, true, 1)), (Reject, Reject));
    }

    #[test]
    fn postmaster_and_abuse_have_their_mail_whatever_the_list_says() {
        let table = table(
            "anna
",
            Policy { unknown: Unknown::Reject, ..Policy::default() },
        );
        for name in ["postmaster", "Postmaster", "\"abuse\""] {
            assert_eq!(table.judge(FIRMA, &domain(), &local(name), false, at(1)), Judgement::Accept);
        }
    }
}
