//! What replies say beside the line: that a drill is running, that an absence was announced, that the server stops soon.

use std::collections::HashSet;

use super::event::Standing;
use super::table::PlainVerdict;
use crate::base::AccountId;
use crate::heartbeat::datagram::{ReplyFlags, ReplyState};

/// The few accounts of which there is something to say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Notes {
    drills: HashSet<AccountId>,
    holidays: HashSet<AccountId>,
    is_closing: bool,
}

impl Notes {
    /// A drill of this account begins, or has ended.
    pub fn set_drill(&mut self, account: AccountId, is_running: bool) {
        if is_running {
            self.drills.insert(account);
        } else {
            self.drills.remove(&account);
        }
    }

    /// The accounts whose announced absence lasts now.
    pub fn set_holidays(&mut self, accounts: HashSet<AccountId>) {
        self.holidays = accounts;
    }

    /// The server stops soon: replies say so until it does.
    pub const fn set_closing(&mut self) {
        self.is_closing = true;
    }

    /// The line as a reply tells it. HOLIDAY stands only in the place of ONLINE: that a line is down, or about to be, is
    /// the greater news and what a client acts on.
    pub(super) fn standing(&self, account: AccountId, standing: Standing) -> Standing {
        if standing.state == ReplyState::Online && !self.holidays.is_empty() && self.holidays.contains(&account) {
            return Standing { state: ReplyState::Holiday, ..standing };
        }
        standing
    }

    /// The flags of a reply with DRILL, if one is running, and CLOSING.
    pub(super) fn flags(&self, account: AccountId, flags: ReplyFlags) -> ReplyFlags {
        flags
            .with(ReplyFlags::DRILL, !self.drills.is_empty() && self.drills.contains(&account))
            .with(ReplyFlags::CLOSING, self.is_closing)
    }

    /// What a beat without a datagram is answered.
    pub(super) fn verdict(&self, account: AccountId, verdict: PlainVerdict) -> PlainVerdict {
        match verdict {
            PlainVerdict::Counted(standing) => PlainVerdict::Counted(self.standing(account, standing)),
            PlainVerdict::SignedClientHere(standing) => {
                PlainVerdict::SignedClientHere(self.standing(account, standing))
            }
            PlainVerdict::SignedClientElsewhere => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_stands_in_the_place_of_online_and_of_nothing_else() {
        let mut notes = Notes::default();
        notes.set_holidays([AccountId(3)].into());
        let told = |account, state| notes.standing(account, Standing { state, ..Standing::default() }).state;
        assert_eq!(told(AccountId(3), ReplyState::Online), ReplyState::Holiday);
        assert_eq!(told(AccountId(4), ReplyState::Online), ReplyState::Online);
        for state in [ReplyState::New, ReplyState::Suspect, ReplyState::Offline, ReplyState::Returning] {
            assert_eq!(told(AccountId(3), state), state);
        }
    }

    #[test]
    fn a_drill_is_told_to_its_account_until_it_ends_and_other_flags_stay() {
        let mut notes = Notes::default();
        notes.set_drill(AccountId(3), true);
        let proven = ReplyFlags::PROVEN;
        assert!(notes.flags(AccountId(3), proven).has(proven.with(ReplyFlags::DRILL, true)));
        assert_eq!(notes.flags(AccountId(4), proven), proven);
        notes.set_drill(AccountId(3), false);
        assert_eq!(notes.flags(AccountId(3), proven), proven);
        notes.set_closing();
        assert_eq!(notes.flags(AccountId(4), proven), proven.with(ReplyFlags::CLOSING, true));
    }
}
