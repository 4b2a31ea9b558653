//! What persons and time do to stored mail, in memory.

use super::{Counter, Held, Tables};
use crate::account::Change;
use crate::base::{AccountId, SpoolId, WallTime};
use crate::spool::{
    DeliveryReply, DotNote, Expiry, ExpiryTerms, Hold, OldestWaiting, RecipientState, Ruling, StateFilter,
};

impl Tables {
    /// Carries out what a person says about one message.
    pub(super) fn rule(&mut self, id: SpoolId, ruling: Ruling, change: &Change) -> u64 {
        let Tables { messages, notices, counters, .. } = self;
        let Some(stored) = messages.get_mut(&id) else { return 0 };
        let mut accounts: Vec<AccountId> = stored.of(None).map(|(_, held)| held.account).collect();
        let mut changed = 0;
        for (ordinal, held) in (0u32..).zip(&mut stored.recipients).filter(|(_, held)| !held.is_removed) {
            let state = held.state;
            let is_meant = match ruling {
                Ruling::Hold => state == RecipientState::Queued,
                Ruling::Release => state == RecipientState::Held || state.is_quarantined(),
                Ruling::Fail => matches!(state, RecipientState::Queued | RecipientState::Held),
                Ruling::Drop => !matches!(state, RecipientState::Delivered | RecipientState::Claimed),
            };
            if is_meant {
                changed += 1;
                carry_out(held, ruling, change.at, counters.entry(held.account).or_default());
                if ruling != Ruling::Drop {
                    notices.ruled(id, ordinal, held.state, change.at);
                }
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        for account in accounts {
            self.note(change, Some(account), format!("queue.{} {id}", ruling.as_str()));
        }
        self.tidy(id, change.at);
        changed
    }

    /// Removes what nobody needs any more of a message.
    fn tidy(&mut self, id: SpoolId, now: WallTime) {
        let Some(stored) = self.messages.get_mut(&id) else { return };
        let is_empty = stored.of(None).next().is_none();
        if is_empty || stored.of(None).all(|(_, held)| held.state == RecipientState::Delivered) {
            stored.delivered_at.get_or_insert(now);
            self.chunks.retain(|(owner, _), _| *owner != id);
        }
        if is_empty {
            self.messages.remove(&id);
            let Tables { messages, notices, .. } = self;
            notices.forget_all_but(|id| messages.contains_key(&id));
        }
    }

    /// Stops a flush, or lets it go on.
    pub(super) fn set_hold(&mut self, account: AccountId, hold: Option<Hold>, change: &Change) {
        let what = match &hold {
            Some(hold) => format!("queue.hold {}: {}", hold.kind, hold.reason),
            None => "queue.release".to_owned(),
        };
        match hold {
            Some(hold) => self.holds.insert(account, hold),
            None => self.holds.remove(&account),
        };
        self.note(change, Some(account), what);
    }

    /// The whole sweep.
    pub(super) fn expire(&mut self, terms: &ExpiryTerms, now: WallTime) -> Expiry {
        let mut expiry = Expiry::default();
        let mut touched = Vec::new();
        let Self { messages, notices, counters, .. } = self;
        for (id, stored) in messages {
            for (ordinal, held) in (0u32..).zip(&mut stored.recipients).filter(|(_, held)| !held.is_removed) {
                let (accepted_before, ended_before) = terms.of(held.account);
                if held.state == RecipientState::Queued && *id < SpoolId::first_of(accepted_before) {
                    held.state = RecipientState::Expired;
                    held.ended_at = Some(now);
                    let words = || DeliveryReply { code: None, text: "not delivered in time".to_owned() };
                    held.last_reply.get_or_insert_with(words);
                    notices.ruled(*id, ordinal, held.state, now);
                    expiry.expired += 1;
                }
                if held.state.is_quarantined() && held.ended_at.is_some_and(|at| at < ended_before) {
                    held.is_removed = true;
                    counters.entry(held.account).or_default().expired += 1;
                    expiry.removed += 1;
                    touched.push(*id);
                }
            }
        }
        for id in touched {
            self.tidy(id, now);
        }
        expiry
    }

    /// The oldest waiting message of each account.
    pub(super) fn oldest_waiting(&self) -> Vec<OldestWaiting> {
        let oldest = |account: AccountId| {
            let mut waiting = self.messages.values().filter(|m| m.matches(StateFilter::Waiting, Some(account)));
            waiting.next().map(|stored| OldestWaiting { account, accepted_at: stored.message.accepted_at })
        };
        self.accounts.keys().filter_map(|account| oldest(*account)).collect()
    }

    /// Notes of messages that are still claimed and of which nothing was written since. No note is left.
    pub(super) fn take_doubtful(&mut self) -> Vec<DotNote> {
        let notes = std::mem::take(&mut self.dot_notes);
        let is_claimed = |note: &DotNote| {
            self.messages.get(&note.message).is_some_and(|stored| {
                let mut all = stored.of(None);
                all.any(|(_, held)| {
                    held.state == RecipientState::Claimed && held.last_attempt_at.is_none_or(|at| at < note.at)
                })
            })
        };
        notes.into_values().filter(is_claimed).collect()
    }
}

fn carry_out(held: &mut Held, ruling: Ruling, now: WallTime, counter: &mut Counter) {
    match ruling {
        Ruling::Hold => held.state = RecipientState::Held,
        Ruling::Release => {
            held.state = RecipientState::Queued;
            held.due_at = now;
            held.ended_at = None;
        }
        Ruling::Fail => {
            held.state = RecipientState::Refused;
            held.ended_at = Some(now);
            held.last_reply = Some(DeliveryReply { code: None, text: "given up by a person".to_owned() });
        }
        Ruling::Drop => {
            held.is_removed = true;
            counter.deleted += 1;
        }
    }
}
