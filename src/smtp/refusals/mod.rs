//! Recipients that were refused or deferred at the door: envelopes kept for a week, so that "your server refused me" can
//! be looked into. Never any content; a few rows for each account and day, so that a flood fills no disk.

pub mod driver;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::base::{AccountId, WallTime};
use crate::spool::SpoolError;

/// How long they are kept.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Rows kept of one day for one account; also after a restart, from which on the day is counted anew.
pub const PER_ACCOUNT_AND_DAY_MAX: u32 = 2_000;

/// Rows kept of one day for addresses that are no customer's.
pub const OF_STRANGERS_AND_DAY_MAX: u32 = 10_000;

/// A recipient that was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// When.
    pub at: WallTime,
    /// Whose mailbox it would have been; absent for a domain that is not served.
    pub account: Option<AccountId>,
    /// Who asked.
    pub peer: IpAddr,
    /// What the peer called itself.
    pub helo: String,
    /// Envelope sender, empty for none.
    pub reverse_path: String,
    /// The recipient as named.
    pub recipient: String,
    /// The reply code.
    pub code: u16,
    /// The reply's text with its enhanced status code.
    pub text: String,
}

/// What is asked of a storage engine. Rows may be lost with the process.
#[async_trait]
pub trait RefusalStore: Send + Sync {
    /// Keeps rows.
    async fn note_refusals(&self, refused: Vec<Refused>) -> Result<(), SpoolError>;
    /// Those with this recipient or sender in any case, newest first, at most `limit`.
    async fn refusals(&self, address: &str, limit: u32) -> Result<Vec<Refused>, SpoolError>;
    /// Removes what is older. The number removed.
    async fn forget_refusals(&self, before: WallTime) -> Result<u64, SpoolError>;
}

/// How many rows each account has had on this day. As many entries as accounts at most.
#[derive(Debug, Default)]
pub struct Quota {
    day: Option<chrono::NaiveDate>,
    kept: HashMap<Option<AccountId>, u32>,
}

impl Quota {
    /// Counts a row; false beyond the limit of its day.
    pub fn admits(&mut self, account: Option<AccountId>, at: WallTime) -> bool {
        let today = Some(at.date_naive());
        if self.day != today {
            self.day = today;
            self.kept.clear();
        }
        let limit = if account.is_some() { PER_ACCOUNT_AND_DAY_MAX } else { OF_STRANGERS_AND_DAY_MAX };
        let kept = self.kept.entry(account).or_default();
        *kept = kept.saturating_add(1);
        *kept <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_its_rows_of_a_day_and_strangers_have_theirs() {
        let mut quota = Quota::default();
        let at = |hour: i64| WallTime::from_timestamp(1_795_478_400 + hour * 3_600, 0).unwrap();
        let mut kept =
            |account: Option<i64>, hour| (0..20_000).filter(|_| quota.admits(account.map(AccountId), at(hour))).count();
        assert_eq!([kept(Some(1), 1), kept(Some(1), 2), kept(Some(2), 2), kept(None, 2)], [2_000, 0, 2_000, 10_000]);
        assert_eq!([kept(Some(1), 25), kept(None, 25)], [2_000, 10_000]);
    }
}
