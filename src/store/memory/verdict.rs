//! What the checks of senders came to, in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::MemoryStore;
use crate::base::{AccountId, SpoolId, WallTime};
use crate::spool::{NewRecipient, SpoolError};
use crate::verdict::{Subject, Verdict, VerdictStore};

fn accounts_of(recipients: &[NewRecipient]) -> Vec<AccountId> {
    let accounts: BTreeSet<AccountId> = recipients.iter().map(|recipient| recipient.account).collect();
    accounts.into_iter().collect()
}

#[async_trait]
impl VerdictStore for MemoryStore {
    async fn save_verdict(&self, id: SpoolId, verdict: Verdict, _at: WallTime) -> Result<bool, SpoolError> {
        let mut tables = self.tables();
        let Some(stored) = tables.messages.get_mut(&id) else { return Ok(false) };
        stored.verdict = Some(verdict);
        Ok(true)
    }

    async fn verdict(&self, id: SpoolId) -> Result<Option<Verdict>, SpoolError> {
        Ok(self.tables().messages.get(&id).and_then(|stored| stored.verdict.clone()))
    }

    async fn unchecked(&self, accepted_since: WallTime, limit: u32) -> Result<Vec<Subject>, SpoolError> {
        let tables = self.tables();
        let open = tables.messages.values().rev().filter(|stored| {
            stored.delivered_at.is_none() && stored.verdict.is_none() && stored.message.accepted_at >= accepted_since
        });
        let subject = |stored: &super::Stored| Subject {
            id: stored.message.id,
            peer: stored.message.peer,
            helo: stored.message.helo.clone(),
            reverse_path: stored.message.reverse_path.clone(),
            accounts: accounts_of(&stored.message.recipients),
            chunks: stored.chunks,
        };
        Ok(open.take(limit as usize).map(subject).collect())
    }
}
