//! What each account holds, in memory: exact after each commit, so that port 25 may ask on every RCPT.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rusqlite::Connection;

use super::row;
use crate::base::AccountId;
use crate::spool::{RecipientState, Usage};

/// How one message counts for one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nothing is owed: all delivered.
    Done,
    /// A recipient waits.
    Waiting,
    /// None waits and one is in quarantine.
    Refused,
}

impl Standing {
    /// The standing of one more recipient joined to what was known of the others.
    pub(super) const fn with(self, state: RecipientState) -> Self {
        match (self, state) {
            (Self::Waiting, _) | (_, RecipientState::Queued | RecipientState::Claimed | RecipientState::Held) => {
                Self::Waiting
            }
            (_, RecipientState::Refused | RecipientState::Expired) | (Self::Refused, _) => Self::Refused,
            (Self::Done, RecipientState::Delivered) => Self::Done,
        }
    }
}

/// A difference to what an account holds.
#[derive(Clone, Copy, Default, Debug)]
struct Difference {
    waiting: i64,
    refused: i64,
    octets: i64,
}

/// What one operation changes of the usages; applied after its commit, dropped without one.
#[derive(Default, Debug)]
pub(super) struct UsageChanges(HashMap<AccountId, Difference>);

impl UsageChanges {
    /// A message of `octets` went from one standing to another for an account.
    pub(super) fn moved(&mut self, account: AccountId, octets: i64, from: Standing, to: Standing) {
        let difference = self.0.entry(account).or_default();
        for (standing, sign) in [(from, -1), (to, 1)] {
            match standing {
                Standing::Done => continue,
                Standing::Waiting => difference.waiting += sign,
                Standing::Refused => difference.refused += sign,
            }
            difference.octets += sign * octets;
        }
    }
}

/// All usages.
#[derive(Default, Debug)]
pub(super) struct UsageTable(RwLock<HashMap<AccountId, Usage>>);

impl UsageTable {
    /// Counts the rows, once at the start.
    pub(super) fn load(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT r.account, max(r.state NOT IN ('refused', 'expired')), m.octets
             FROM recipient AS r JOIN message AS m ON m.id = r.message
             WHERE r.state <> 'delivered' GROUP BY r.account, r.message",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, bool>(1)?, row.get::<_, i64>(2)?)))?;
        let mut usages: HashMap<AccountId, Usage> = HashMap::new();
        for row in rows {
            let Some((account, is_waiting, octets)) = row::keep_readable("message", row)? else { continue };
            let usage = usages.entry(AccountId(account)).or_default();
            if is_waiting {
                usage.waiting += 1;
            } else {
                usage.refused += 1;
            }
            usage.octets += row::count(octets);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = usages;
        Ok(())
    }

    /// What one account holds.
    pub(super) fn of(&self, account: AccountId) -> Usage {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&account).copied().unwrap_or_default()
    }

    /// Accounts with mail.
    pub(super) fn holders(&self) -> u64 {
        u64::try_from(self.0.read().unwrap_or_else(PoisonError::into_inner).len()).unwrap_or(u64::MAX)
    }

    /// Takes over the changes of a committed group.
    pub(super) fn apply(&self, changes: impl Iterator<Item = UsageChanges>) {
        let mut usages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (account, difference) in changes.flat_map(|changes| changes.0) {
            let usage = usages.entry(account).or_default();
            usage.waiting = usage.waiting.saturating_add_signed(difference.waiting);
            usage.refused = usage.refused.saturating_add_signed(difference.refused);
            usage.octets = usage.octets.saturating_add_signed(difference.octets);
            if *usage == Usage::default() {
                usages.remove(&account);
            }
        }
    }
}
