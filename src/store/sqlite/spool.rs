//! The spool's trait on this engine: which operation has which durability.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::job::Terms;
use super::{
    SqliteStore, notice, spool_claim, spool_intake, spool_list, spool_passed, spool_report, spool_rule, spool_search,
};
use crate::account::Change;
use crate::base::{AccountId, SpoolId, WallTime};
use crate::spool::{
    ClaimQuery, Claimed, CommitError, DeliveryReply, DotNote, Expiry, ExpiryTerms, Hold, IntakeStatus, ListPage,
    ListQuery, MessageDetail, NewMessage, OldestWaiting, Outcome, Recovered, Report, RetrySelection, Ruling,
    SearchPage, SearchQuery, SpoolError, SpoolStore, Tally, Trace, Usage,
};

#[async_trait]
impl SpoolStore for SqliteStore {
    async fn intake_chunk(&self, id: SpoolId, ordinal: u32, bytes: Bytes) -> Result<(), SpoolError> {
        if self.room.octets() == 0 {
            return Err(SpoolError::NoRoom);
        }
        // Unsynced: the commit of the message syncs the log that holds this piece (see `writer`).
        let terms = Terms { octets: bytes.len(), ..Terms::LAZY };
        self.write(terms, move |work| spool_intake::chunk(work, id, ordinal, &bytes)).await
    }

    async fn intake_commit(&self, message: NewMessage) -> Result<(), CommitError> {
        let octets = message.tail.iter().map(Bytes::len).sum();
        let terms = Terms { octets, is_for_caller: true, is_message: true, looks_first: true, ..Terms::SYNCED };
        self.write(terms, move |work| spool_intake::commit(work, &message)).await
    }

    async fn intake_awaited(&self, message: NewMessage, note: DotNote) -> Result<(), CommitError> {
        let octets = message.tail.iter().map(Bytes::len).sum();
        let terms = Terms { octets, is_for_caller: true, is_message: true, ..Terms::SYNCED };
        self.write(terms, move |work| spool_passed::commit_awaited(work, &message, &note)).await
    }

    async fn record_passed(&self, message: NewMessage, reply: DeliveryReply, now: WallTime) -> Result<(), SpoolError> {
        self.write(Terms::LAZY, move |work| spool_passed::record(work, &message, &reply, now)).await
    }

    async fn intake_abandon(&self, id: SpoolId) -> Result<(), SpoolError> {
        self.write(Terms::LAZY, move |work| spool_intake::abandon(work, id)).await
    }

    async fn intake_status(&self, id: SpoolId) -> Result<IntakeStatus, SpoolError> {
        self.read(move |db| Ok(spool_list::status(db, id)?)).await
    }

    async fn claim(&self, query: ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
        let terms = Terms { is_for_caller: true, ..Terms::LAZY };
        self.write(terms, move |work| spool_claim::claim(work, &query)).await
    }

    async fn settle(&self, reports: Vec<Report>, notes: Vec<DotNote>, now: WallTime) -> Result<(), SpoolError> {
        let counts = outcomes_of(&reports);
        let settled: Result<(), SpoolError> = self
            .write(Terms::LAZY, move |work| {
                reports.iter().try_for_each(|report| spool_report::report(work, report, now))?;
                Ok(notes.iter().try_for_each(|note| spool_report::note(work.connection, note))?)
            })
            .await;
        settled?;
        self.counters.settled(counts);
        Ok(())
    }

    async fn rule(&self, id: SpoolId, ruling: Ruling, change: Change) -> Result<u64, SpoolError> {
        self.write(Terms::SYNCED, move |work| spool_rule::rule(work, id, ruling, &change)).await
    }

    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError> {
        self.read(|db| Ok(spool_rule::holds(db)?)).await
    }

    async fn set_hold(&self, account: AccountId, hold: Option<Hold>, change: Change) -> Result<(), SpoolError> {
        self.write(Terms::SYNCED, move |work| spool_rule::set_hold(work, account, hold.as_ref(), &change)).await
    }

    async fn expire(&self, terms: ExpiryTerms, now: WallTime) -> Result<Expiry, SpoolError> {
        let mut all = Expiry::default();
        loop {
            let terms = terms.clone();
            let step: (Expiry, bool) =
                self.write(Terms::SYNCED, move |work| spool_rule::expire(work, &terms, now)).await?;
            all.expired += step.0.expired;
            all.removed += step.0.removed;
            if !step.1 {
                return Ok(all);
            }
        }
    }

    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError> {
        self.read(|db| Ok(spool_rule::oldest_waiting(db)?)).await
    }

    async fn next_due(&self, account: AccountId) -> Result<Option<WallTime>, SpoolError> {
        self.read(move |db| Ok(spool_claim::next_due(db, account)?)).await
    }

    async fn make_due(&self, account: AccountId, now: WallTime) -> Result<u64, SpoolError> {
        let mut all = 0;
        loop {
            let changed: u64 = self.write(Terms::LAZY, move |work| spool_claim::make_due(work, account, now)).await?;
            all += changed;
            if changed < spool_claim::DUE_BATCH {
                return Ok(all);
            }
        }
    }

    async fn body_chunk(&self, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        self.read(move |db| spool_list::chunk(db, id, ordinal)).await
    }

    async fn heads(&self, ids: Vec<SpoolId>) -> Result<Vec<Option<Bytes>>, SpoolError> {
        self.read(move |db| {
            let head = |id: &SpoolId| match spool_list::chunk(db, *id, 0) {
                Ok(piece) => Ok(Some(piece)),
                Err(SpoolError::ChunkMissing(_)) => Ok(None),
                Err(error) => Err(error),
            };
            ids.iter().map(head).collect()
        })
        .await
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, SpoolError> {
        self.read(move |db| Ok(spool_list::list(db, &query)?)).await
    }

    async fn search(&self, query: SearchQuery) -> Result<SearchPage, SpoolError> {
        self.read(move |db| Ok(spool_search::search(db, &query)?)).await
    }

    async fn show(&self, id: SpoolId) -> Result<Option<MessageDetail>, SpoolError> {
        self.read(move |db| Ok(spool_list::message(db, id.as_i64(), None)?)).await
    }

    async fn trace(&self, id: SpoolId) -> Result<Trace, SpoolError> {
        self.read(move |db| Ok(notice::trace(db, id)?)).await
    }

    async fn retry(&self, selection: RetrySelection, change: Change) -> Result<u64, SpoolError> {
        let (selection, change) = (Arc::new(selection), Arc::new(change));
        let mut all = 0;
        let mut after = None;
        loop {
            let (selection, change) = (Arc::clone(&selection), Arc::clone(&change));
            let step: spool_claim::RetryStep =
                self.write(Terms::SYNCED, move |work| spool_claim::retry(work, &selection, after, &change)).await?;
            all += step.changed;
            after = step.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    fn room(&self) -> u64 {
        self.room.octets()
    }

    fn fair_share(&self) -> Option<u64> {
        let octets = self.room.octets();
        self.room.is_tight().then(|| octets / self.usage.holders().max(1))
    }

    fn usage(&self, account: AccountId) -> Usage {
        self.usage.of(account)
    }

    async fn tally(&self, account: AccountId) -> Result<Tally, SpoolError> {
        self.read(move |db| Ok(spool_list::tally(db, account)?)).await
    }

    async fn recover(&self) -> Result<Recovered, SpoolError> {
        self.write(Terms::SYNCED, |work| spool_claim::recover(work)).await
    }

    async fn return_claims(&self, account: AccountId) -> Result<u64, SpoolError> {
        self.write(Terms::LAZY, move |work| spool_claim::return_claims(work, account)).await
    }

    async fn purge_delivered(&self, delivered_before: WallTime) -> Result<u64, SpoolError> {
        let mut all = 0;
        loop {
            let removed: u64 = self.write(Terms::LAZY, move |work| spool_report::purge(work, delivered_before)).await?;
            all += removed;
            if removed < spool_report::PURGE_BATCH {
                return Ok(all);
            }
        }
    }
}

/// Recipients delivered, deferred, refused.
fn outcomes_of(reports: &[Report]) -> [u64; 3] {
    let mut counts = [0; 3];
    for (_, outcome) in reports.iter().flat_map(|report| &report.outcomes) {
        let [delivered, deferred, refused] = &mut counts;
        match outcome {
            Outcome::Delivered { .. } => *delivered += 1,
            Outcome::Deferred { .. } => *deferred += 1,
            Outcome::Refused { .. } => *refused += 1,
            Outcome::Returned | Outcome::Postponed { .. } => {}
        }
    }
    counts
}
