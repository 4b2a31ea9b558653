//! Open pages that wait for news: how many there may be, and which account each is about.

pub(crate) mod driver;

use std::collections::HashMap;

use crate::base::AccountId;

/// Counts open streams against their limits.
#[derive(Debug)]
pub(super) struct StreamBudget {
    per_account_max: usize,
    total_max: usize,
    total: usize,
    open: HashMap<AccountId, usize>,
}

impl StreamBudget {
    /// Nothing open yet.
    pub(super) fn new(per_account_max: usize, total_max: usize) -> Self {
        Self { per_account_max, total_max, total: 0, open: HashMap::new() }
    }

    /// Takes one place, if there is one.
    pub(super) fn take(&mut self, account: AccountId) -> bool {
        let open = self.open.entry(account).or_default();
        if *open >= self.per_account_max || self.total >= self.total_max {
            return false;
        }
        *open += 1;
        self.total += 1;
        true
    }

    /// Gives a place back; true if the account has none left.
    pub(super) fn give_back(&mut self, account: AccountId) -> bool {
        let Some(open) = self.open.get_mut(&account) else { return true };
        *open = open.saturating_sub(1);
        self.total = self.total.saturating_sub(1);
        let is_last = *open == 0;
        if is_last {
            self.open.remove(&account);
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_one_account_nor_all_together_pass_their_limit() {
        let mut budget = StreamBudget::new(2, 3);
        let (a, b) = (AccountId(1), AccountId(2));
        assert!(budget.take(a) && budget.take(a));
        assert!(!budget.take(a), "third of one account");
        assert!(budget.take(b));
        assert!(!budget.take(b), "fourth in all");
        assert!(!budget.give_back(a));
        assert!(budget.take(b));
        assert!(budget.give_back(a));
    }
}
