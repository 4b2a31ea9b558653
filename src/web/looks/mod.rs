//! What was seen of the domains of each account: who may ask for a look when, what is kept of it and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{AccountId, DomainName, Moment, WallTime};
use crate::survey::facts::{Expected, Facts};
use crate::survey::standing::{self, Row};
use crate::survey::{Finding, judge, matter};

pub(super) mod driver;

/// Between two looks of one account: each asks strangers dozens of questions.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A look is shown for so long; after that the world may be another.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// While something is wrong and the page stays open, it is looked at again for so long after somebody asked.
const AGAIN_FOR: Duration = Duration::from_secs(30 * 60);
/// Accounts whose looks are kept; the one that was asked for longest ago leaves.
const ACCOUNTS_MAX: usize = 1_000;
/// Domains of one account that are looked at.
pub(super) const DOMAINS_MAX: usize = 20;

/// One domain as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// Whether the account has it.
    pub(super) is_served: bool,
    /// Required beside found.
    pub(super) rows: Vec<Row>,
    /// Everything required stands.
    pub(super) is_right: bool,
    /// What else is wrong.
    pub(super) besides: Vec<Finding>,
    /// Where the mail goes now, in order; cleaned.
    pub(super) today: Vec<String>,
}

impl Looked {
    pub(super) fn of(expected: &Expected, facts: &Facts, now: WallTime) -> Self {
        let rows = standing::standing(expected, facts);
        let mut besides = standing::besides(expected, facts, now);
        // Of a domain that is not served, what hinders its set-up.
        if !expected.is_served {
            besides = judge(expected, facts, now);
            besides.retain(|finding| matches!(finding.matter, matter::Matter::NoDomain | matter::Matter::DnsSilent));
        }
        Self {
            is_served: expected.is_served,
            is_right: standing::is_right(&rows),
            rows,
            besides,
            today: facts.exchanges.values().iter().map(|exchange| exchange.host.clone()).collect(),
        }
    }
}

/// What is kept of an account.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Somebody pressed the button then.
    asked_at: Moment,
    begun_at: Moment,
    /// A look is under way.
    pub(super) is_running: bool,
    /// When the last one ended; absent for none.
    pub(super) seen_at: Option<WallTime>,
    /// By domain.
    pub(super) domains: BTreeMap<DomainName, Looked>,
}

/// What becomes of the wish to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// It begins.
    Started,
    /// One is under way already.
    Running,
    /// The last one was less than [`LOOK_EVERY`] ago.
    Soon,
}

/// The looks of all accounts. Reads no clock.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<AccountId, Kept>);

impl Book {
    /// Whether a look may begin now, by a person's wish or by itself. One that may, has begun.
    pub(super) fn begin(&mut self, account: AccountId, is_wish: bool, now: Moment) -> Begin {
        self.0.retain(|_, kept| kept.is_running || now.since(kept.begun_at) < KEPT_FOR);
        match self.0.get_mut(&account) {
            Some(kept) if kept.is_running => return Begin::Running,
            Some(kept) if now.since(kept.begun_at) < LOOK_EVERY => return Begin::Soon,
            Some(kept) => {
                (kept.begun_at, kept.is_running) = (now, true);
                if is_wish {
                    kept.asked_at = now;
                }
                return Begin::Started;
            }
            None => {}
        }
        if self.0.len() >= ACCOUNTS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, kept)| kept.begun_at).map(|(account, _)| *account)
        {
            self.0.remove(&oldest);
        }
        let kept = Kept { asked_at: now, begun_at: now, is_running: true, seen_at: None, domains: BTreeMap::default() };
        self.0.insert(account, kept);
        Begin::Started
    }

    /// A look ended.
    pub(super) fn end(&mut self, account: AccountId, domains: BTreeMap<DomainName, Looked>, at: WallTime) {
        if let Some(kept) = self.0.get_mut(&account) {
            (kept.is_running, kept.seen_at, kept.domains) = (false, Some(at), domains);
        }
    }

    /// What was seen last, unless that is too long ago.
    pub(super) fn of(&self, account: AccountId, now: Moment) -> Option<&Kept> {
        self.0.get(&account).filter(|kept| kept.is_running || now.since(kept.begun_at) < KEPT_FOR)
    }

    /// The domains to look at again by itself: somebody asked, waits, and something was not right.
    pub(super) fn wants_again(&self, account: AccountId, now: Moment) -> Option<Vec<DomainName>> {
        let kept = self.of(account, now)?;
        let is_due = !kept.is_running
            && now.since(kept.begun_at) >= LOOK_EVERY
            && now.since(kept.asked_at) < AGAIN_FOR
            && kept.domains.values().any(|looked| !looked.is_right);
        is_due.then(|| kept.domains.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRMA: AccountId = AccountId(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn seen(is_right: bool) -> BTreeMap<DomainName, Looked> {
        let looked = Looked { is_served: true, rows: Vec::new(), is_right, besides: Vec::new(), today: Vec::new() };
        BTreeMap::from([(DomainName::parse("firma.example").unwrap(), looked)])
    }

    #[test]
    fn an_account_looks_once_a_minute_and_holds_up_no_other() {
        let mut book = Book::default();
        assert_eq!(book.begin(FIRMA, true, at(0)), Begin::Started);
        assert_eq!(book.begin(FIRMA, true, at(1)), Begin::Running);
        assert_eq!(book.begin(AccountId(2), true, at(1)), Begin::Started);
        book.end(FIRMA, seen(true), WallTime::default());
        assert_eq!(book.begin(FIRMA, true, at(59)), Begin::Soon);
        assert_eq!(book.begin(FIRMA, true, at(60)), Begin::Started);
        assert!(book.of(FIRMA, at(60)).unwrap().is_running && book.of(FIRMA, at(60)).unwrap().seen_at.is_some());
    }

    #[test]
    fn what_is_wrong_is_looked_at_again_for_half_an_hour_after_somebody_asked() {
        let mut book = Book::default();
        assert!(book.wants_again(FIRMA, at(0)).is_none(), "nobody asked");
        book.begin(FIRMA, true, at(0));
        assert!(book.wants_again(FIRMA, at(70)).is_none(), "it is under way");
        book.end(FIRMA, seen(false), WallTime::default());
        assert!(book.wants_again(FIRMA, at(59)).is_none());
        assert_eq!(book.wants_again(FIRMA, at(60)).unwrap().len(), 1);
        book.begin(FIRMA, false, at(60));
        book.end(FIRMA, seen(true), WallTime::default());
        assert!(book.wants_again(FIRMA, at(200)).is_none(), "all is well");
        book.begin(FIRMA, false, at(200));
        book.end(FIRMA, seen(false), WallTime::default());
        assert!(book.wants_again(FIRMA, at(30 * 60 - 1)).is_some());
        assert!(book.wants_again(FIRMA, at(30 * 60)).is_none(), "a look by itself prolongs nothing");
    }

    #[test]
    fn old_looks_and_those_of_too_many_accounts_are_forgotten() {
        let mut book = Book::default();
        for n in 0..1_100 {
            let account = AccountId(n);
            book.begin(account, true, at(u64::try_from(n).unwrap()));
            book.end(account, seen(true), WallTime::default());
        }
        assert_eq!(book.0.len(), ACCOUNTS_MAX);
        assert!(book.of(AccountId(99), at(1_100)).is_none() && book.of(AccountId(100), at(1_100)).is_some());
        assert!(book.of(AccountId(1_099), at(1_099 + 24 * 3_600)).is_none());
        book.begin(FIRMA, true, at(3 * 24 * 3_600));
        assert_eq!(book.0.len(), 1);
    }
}
