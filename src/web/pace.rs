//! How often an account may do what costs somebody else something.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::{AccountId, Moment};

/// When each account did something last that may not be done at any pace.
#[derive(Debug, Default)]
pub(crate) struct Pace(HashMap<AccountId, Moment>);

impl Pace {
    /// Whether this time of `account` comes `every` after the one before, at least.
    pub(crate) fn admits(&mut self, account: AccountId, every: Duration, now: Moment) -> bool {
        let is_fair = self.0.get(&account).is_none_or(|before| now.since(*before) >= every);
        if is_fair {
            self.0.insert(account, now);
        }
        is_fair
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_account_does_keeps_its_distance_and_hold_up_no_other() {
        let (mut pace, now) = (Pace::default(), Moment::from_millis(0));
        let every = Duration::from_secs(5);
        let (one, other) = (AccountId(1), AccountId(2));
        assert!(pace.admits(one, every, now));
        assert!(!pace.admits(one, every, now));
        assert!(pace.admits(other, every, now));
        assert!(pace.admits(one, every, now + every));
    }
}
