//! How often a customer's server may ask for its mail.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::{AccountId, Moment};

/// Requests of one account in [`WINDOW`] that start something.
const REQUESTS_MAX: u32 = 6;
const WINDOW: Duration = Duration::from_secs(60);

/// Requests of the last minute. As many entries as accounts at most: strangers are refused before they are counted.
#[derive(Debug, Default)]
pub(in crate::smtp) struct FlushRequests(HashMap<AccountId, (Moment, u32)>);

impl FlushRequests {
    /// Counts a request; false beyond the limit.
    pub(in crate::smtp) fn admits(&mut self, account: AccountId, now: Moment) -> bool {
        let (since, count) = self.0.entry(account).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= REQUESTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_a_minute_of_each_account() {
        let mut requests = FlushRequests::default();
        let at = |second: u64| Moment::from_millis(1_000_000 + second * 1000);
        let admitted = (0..20).filter(|second| requests.admits(AccountId(1), at(*second))).count();
        assert_eq!(admitted, 6);
        assert!(requests.admits(AccountId(2), at(20)));
        assert!(requests.admits(AccountId(1), at(60)));
    }
}
