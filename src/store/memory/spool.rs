//! The spool, in memory.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;

use super::notice::Changed;
use super::{Held, MemoryStore, Stored, Tables, misuse};
use crate::account::{Change, OPERATOR};
use crate::base::{AccountId, SpoolId, WallTime};
use crate::recipient::model::comparable;
use crate::spool::{
    CANARY_ROWS_MAX, CHUNK_OCTETS_MAX, ClaimOrder, ClaimQuery, Claimed, ClaimedRecipient, CommitError, DeliveryReply,
    DotNote, Expiry, ExpiryTerms, Hold, IntakeStatus, ListCursor, ListPage, ListQuery, MessageDetail, MessageRow,
    NewMessage, OldestWaiting, Outcome, RecipientDsn, RecipientRow, RecipientState, Recovered, Report, RetrySelection,
    Ruling, SpoolError, SpoolStore, StateFilter, Tally, Trace, Usage,
};

impl Stored {
    /// Recipients of one account or all, with their ordinals; those of removed accounts are gone.
    pub(super) fn of(&self, account: Option<AccountId>) -> impl Iterator<Item = (u32, &Held)> {
        (0u32..)
            .zip(&self.recipients)
            .filter(move |(_, held)| !held.is_removed && account.is_none_or(|account| account == held.account))
    }

    pub(super) fn matches(&self, filter: StateFilter, account: Option<AccountId>) -> bool {
        let mut states = self.of(account).map(|(_, held)| held.state).peekable();
        if states.peek().is_none() {
            return false;
        }
        match filter {
            StateFilter::Held => states.any(|state| state != RecipientState::Delivered),
            StateFilter::Waiting => states.any(RecipientState::is_waiting),
            StateFilter::KeptBack => states.any(|state| state == RecipientState::Held),
            StateFilter::Refused => states.any(RecipientState::is_quarantined),
            StateFilter::Delivered => states.all(|state| state == RecipientState::Delivered),
            StateFilter::Any => true,
        }
    }

    fn dsn(&self, ordinal: u32) -> RecipientDsn {
        self.message.recipients.get(ordinal as usize).map(|recipient| recipient.dsn.clone()).unwrap_or_default()
    }

    pub(super) fn mailbox(&self, ordinal: u32) -> Option<&crate::base::Mailbox> {
        self.message.recipients.get(ordinal as usize).map(|recipient| &recipient.mailbox)
    }

    fn claimed(&self, recipients: Vec<ClaimedRecipient>) -> Claimed {
        Claimed {
            id: self.message.id,
            accepted_at: self.message.accepted_at,
            reverse_path: self.message.reverse_path.clone(),
            smtputf8: self.message.smtputf8,
            requires_tls: self.message.requires_tls,
            body: self.message.body,
            dsn: self.message.dsn.clone(),
            trace: self.message.trace.clone(),
            sha256: self.message.sha256,
            octets: self.message.octets,
            chunks: self.chunks,
            peer: self.message.peer,
            helo: self.message.helo.clone(),
            recipients,
        }
    }

    fn row(&self, account: Option<AccountId>) -> MessageRow {
        MessageRow {
            id: self.message.id,
            accepted_at: self.message.accepted_at,
            reverse_path: self.message.reverse_path.to_string(),
            octets: self.message.octets,
            subject: self.message.header.subject.clone(),
            smtputf8: self.message.smtputf8,
            tls: self.message.tls.clone(),
            recipients: self
                .of(account)
                .map(|(ordinal, held)| RecipientRow {
                    ordinal,
                    account: held.account,
                    mailbox: self.mailbox(ordinal).map(ToString::to_string).unwrap_or_default(),
                    state: held.state,
                    due_at: held.state.is_waiting().then_some(held.due_at.max(self.message.accepted_at)),
                    attempts: held.attempts,
                    last_reply: held.last_reply.clone(),
                    last_attempt_at: held.last_attempt_at,
                })
                .collect(),
        }
    }
}

/// Ends one claim. True when the recipient was delivered by it, for the first time.
fn end(held: &mut Held, outcome: &Outcome, now: WallTime) -> bool {
    let is_claimed = held.state == RecipientState::Claimed;
    let (state, reply) = match outcome {
        Outcome::Delivered { reply } if held.state != RecipientState::Delivered => (RecipientState::Delivered, reply),
        Outcome::Deferred { until, reply } if is_claimed => {
            held.due_at = *until;
            (RecipientState::Queued, reply)
        }
        Outcome::Refused { reply } if is_claimed => (RecipientState::Refused, reply),
        Outcome::Returned if is_claimed => {
            held.state = RecipientState::Queued;
            return false;
        }
        Outcome::Postponed { until } if is_claimed => {
            held.state = RecipientState::Queued;
            held.due_at = *until;
            return false;
        }
        Outcome::Delivered { .. }
        | Outcome::Deferred { .. }
        | Outcome::Refused { .. }
        | Outcome::Returned
        | Outcome::Postponed { .. } => return false,
    };
    held.state = state;
    held.attempts += 1;
    held.refusals += u32::from(reply.code.is_some_and(|code| code >= 500));
    held.last_reply = Some(reply.clone());
    held.last_attempt_at = Some(now);
    held.ended_at = state.is_quarantined().then_some(now);
    state == RecipientState::Delivered
}

impl Tables {
    fn commit(&mut self, mut message: NewMessage) -> Result<(), &'static str> {
        if let Some(stored) = self.messages.get(&message.id) {
            let is_same = stored.message.sha256 == message.sha256
                && stored.message.octets == message.octets
                && stored.of(None).count() == message.recipients.len();
            return if is_same { Ok(()) } else { Err("another message has this spool id") };
        }
        if message.recipients.is_empty() {
            return Err("a message has at least one recipient");
        }
        if message.recipients.iter().any(|recipient| recipient.mailbox.domain().is_none()) {
            return Err("a recipient lives at an address literal");
        }
        let is_known = |account: &AccountId| *account == OPERATOR || self.accounts.contains_key(account);
        if message.recipients.iter().any(|recipient| !is_known(&recipient.account)) {
            return Err("a recipient's account is gone");
        }
        let ahead: Vec<usize> = self.pieces(message.id).map(|(_, bytes)| bytes.len()).collect();
        let octets = ahead.iter().sum::<usize>() + message.tail.iter().map(Bytes::len).sum::<usize>();
        let is_whole = ahead.len() == message.chunks_ahead as usize && octets as u64 == message.octets;
        if !is_whole || message.tail.iter().any(|piece| piece.len() > CHUNK_OCTETS_MAX) {
            return Err("the pieces of the content are not what the message says");
        }
        let mut chunks = message.chunks_ahead;
        for piece in message.tail.drain(..) {
            self.chunks.insert((message.id, chunks), piece);
            chunks += 1;
        }
        let mut recipients = Vec::with_capacity(message.recipients.len());
        for recipient in &message.recipients {
            self.counters.entry(recipient.account).or_default().accepted += 1;
            recipients.push(Held {
                account: recipient.account,
                state: RecipientState::Queued,
                due_at: WallTime::UNIX_EPOCH,
                attempts: 0,
                refusals: 0,
                claim: 0,
                last_reply: None,
                last_attempt_at: None,
                ended_at: None,
                is_removed: false,
            });
        }
        self.messages.insert(message.id, Stored { message, chunks, recipients, delivered_at: None, verdict: None });
        Ok(())
    }

    fn pieces(&self, id: SpoolId) -> impl Iterator<Item = (&(SpoolId, u32), &Bytes)> {
        self.chunks.range((id, 0)..=(id, u32::MAX))
    }

    /// Whether the account's server took mail for it before.
    fn is_known_good(&self, account: AccountId, mailbox: &crate::base::Mailbox) -> bool {
        let Some(domain) = mailbox.domain() else { return false };
        let key = (account, domain.clone(), comparable(&mailbox.local_part));
        self.recipients.learned.get(&key).is_some_and(|learned| learned.is_accepted)
    }

    /// All recipients of a new message, by one claim.
    fn claim_all(&mut self, id: SpoolId) {
        self.last_claim += 1;
        for held in self.messages.get_mut(&id).into_iter().flat_map(|stored| &mut stored.recipients) {
            if held.state == RecipientState::Queued {
                (held.state, held.claim) = (RecipientState::Claimed, self.last_claim);
            }
        }
    }

    fn claim(&mut self, query: &ClaimQuery) -> Vec<Claimed> {
        self.last_claim += 1;
        let mut due = self.due(query);
        if let ClaimOrder::Canary { fresh_since } = query.order {
            due.truncate(CANARY_ROWS_MAX as usize);
            let canary = self.canary(&due, SpoolId::first_of(fresh_since));
            due = self.due(query);
            due.retain(|(_, id, _)| Some(*id) == canary);
        }
        let mut claimed: Vec<Claimed> = Vec::new();
        let mut octets: u64 = 0;
        for (_, id, recipient) in due {
            let Some(stored) = self.messages.get_mut(&id) else { continue };
            let place = claimed.iter().position(|message| message.id == id);
            let is_full =
                claimed.len() >= query.messages_max as usize || (octets >= query.octets_max && !claimed.is_empty());
            if place.is_none() && is_full {
                break;
            }
            if let Some(held) = stored.recipients.get_mut(recipient.ordinal as usize) {
                held.state = RecipientState::Claimed;
                held.claim = self.last_claim;
            }
            if let Some(whole) = place.and_then(|place| claimed.get_mut(place)) {
                whole.recipients.push(recipient);
            } else {
                octets = octets.saturating_add(stored.message.octets);
                claimed.push(stored.claimed(vec![recipient]));
            }
        }
        for message in &mut claimed {
            message.recipients.sort_unstable_by_key(|recipient| recipient.ordinal);
        }
        claimed
    }

    /// What is due, in the order of the query (for a canary, that in which candidates are looked at).
    fn due(&self, query: &ClaimQuery) -> Vec<((u8, WallTime), SpoolId, ClaimedRecipient)> {
        let mut due = Vec::new();
        for (id, stored) in &self.messages {
            for (ordinal, held) in stored.of(Some(query.account)) {
                let Some(mailbox) = stored.mailbox(ordinal) else { continue };
                let is_wanted = query.domains.is_empty() || mailbox.domain().is_some_and(|d| query.domains.contains(d));
                if held.state != RecipientState::Queued || held.due_at > query.now || !is_wanted {
                    continue;
                }
                let is_fresh = matches!(query.order, ClaimOrder::FreshFirst { fresh_since }
                    if *id >= SpoolId::first_of(fresh_since));
                let rank = match (stored.message.is_last(), is_fresh) {
                    (true, _) => (2, held.due_at),
                    (false, true) => (0, WallTime::UNIX_EPOCH),
                    (false, false) => (1, held.due_at),
                };
                let recipient = ClaimedRecipient {
                    ordinal,
                    mailbox: mailbox.clone(),
                    attempts: held.attempts,
                    refusals: held.refusals,
                    dsn: stored.dsn(ordinal),
                    is_known_good: self.is_known_good(query.account, mailbox),
                };
                due.push((rank, *id, recipient));
            }
        }
        due.sort_by_key(|(rank, id, recipient)| (*rank, *id, recipient.ordinal));
        due
    }

    fn canary(&self, due: &[((u8, WallTime), SpoolId, ClaimedRecipient)], fresh: SpoolId) -> Option<SpoolId> {
        let octets = |id: &SpoolId| self.messages.get(id).map_or(0, |stored| stored.message.octets);
        let is_last = |id: &SpoolId| self.messages.get(id).is_some_and(|stored| stored.message.is_last());
        due.iter()
            .min_by_key(|(_, id, recipient)| {
                let is_good = recipient.is_known_good;
                (!(is_good && *id >= fresh), !is_good, is_last(id), octets(id), *id)
            })
            .map(|(_, id, _)| *id)
    }

    fn report(&mut self, report: &Report, now: WallTime) {
        let Tables { messages, notices, .. } = self;
        let Some(stored) = messages.get_mut(&report.id) else { return };
        let named: HashSet<u32> = report.outcomes.iter().map(|(ordinal, _)| *ordinal).collect();
        let claims: HashSet<u64> = stored
            .of(None)
            .filter(|(ordinal, held)| held.state == RecipientState::Claimed && named.contains(ordinal))
            .map(|(_, held)| held.claim)
            .collect();
        for (ordinal, outcome) in &report.outcomes {
            let Some(held) = stored.recipients.get_mut(*ordinal as usize).filter(|held| !held.is_removed) else {
                continue;
            };
            let was = held.state;
            let is_delivered = end(held, outcome, now);
            if held.state != was {
                let sent = stored.message.recipients.get(*ordinal as usize);
                let notify = sent.and_then(|sent| sent.dsn.notify);
                let changed = Changed { ordinal: *ordinal, number: held.attempts, after: held.state, notify };
                notices.ended(report.id, &changed, (outcome, report.via.as_ref()), now);
            }
            if is_delivered {
                self.counters.entry(held.account).or_default().delivered += 1;
            }
        }
        for (ordinal, held) in (0u32..).zip(&mut stored.recipients) {
            let is_of_claim = claims.contains(&held.claim);
            if is_of_claim && !named.contains(&ordinal) {
                end(held, &Outcome::Returned, now);
            }
        }
        if stored.of(None).all(|(_, held)| held.state == RecipientState::Delivered) {
            stored.delivered_at.get_or_insert(now);
            self.chunks.retain(|(id, _), _| *id != report.id);
        }
    }

    fn queued(&mut self, account: AccountId) -> impl Iterator<Item = &mut Held> {
        self.messages
            .values_mut()
            .flat_map(|stored| &mut stored.recipients)
            .filter(move |held| !held.is_removed && held.account == account && held.state == RecipientState::Queued)
    }

    fn retry(&mut self, selection: &RetrySelection, change: &Change) -> u64 {
        let mut changed = 0;
        let mut accounts: Vec<AccountId> = Vec::new();
        let Self { messages, notices, .. } = self;
        for stored in messages.values_mut() {
            let account = match selection {
                RetrySelection::Account(account) => Some(*account),
                RetrySelection::Message(id) if *id == stored.message.id => {
                    accounts.extend(stored.of(None).map(|(_, held)| held.account));
                    None
                }
                RetrySelection::Message(_) => continue,
            };
            for (ordinal, held) in (0u32..).zip(&mut stored.recipients) {
                let is_meant = !held.is_removed && account.is_none_or(|account| account == held.account);
                if is_meant && (held.state == RecipientState::Queued || held.state.is_quarantined()) {
                    held.state = RecipientState::Queued;
                    held.due_at = change.at;
                    held.ended_at = None;
                    notices.tried_again(stored.message.id, ordinal);
                    changed += 1;
                }
            }
        }
        match selection {
            RetrySelection::Account(account) => self.note(change, Some(*account), "queue.retry".to_owned()),
            RetrySelection::Message(id) => {
                accounts.sort_unstable();
                accounts.dedup();
                for account in accounts {
                    self.note(change, Some(account), format!("queue.retry {id}"));
                }
            }
        }
        changed
    }

    fn list(&self, query: &ListQuery) -> ListPage {
        let limit = query.limit.clamp(1, 1_000) as usize;
        let mut rows: Vec<MessageRow> = self
            .messages
            .values()
            .filter(|stored| query.after.is_none_or(|cursor| stored.message.id > cursor.0))
            .filter(|stored| stored.matches(query.filter, query.account))
            .take(limit + 1)
            .map(|stored| stored.row(query.account))
            .collect();
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        ListPage { next: rows.last().filter(|_| is_more).map(|row| ListCursor(row.id)), rows }
    }
}

#[async_trait]
impl SpoolStore for MemoryStore {
    async fn intake_chunk(&self, id: SpoolId, ordinal: u32, bytes: Bytes) -> Result<(), SpoolError> {
        let mut tables = self.tables();
        if bytes.len() > CHUNK_OCTETS_MAX || tables.messages.contains_key(&id) {
            return Err(SpoolError::Engine(misuse("a piece is too long or its message is complete")));
        }
        tables.chunks.insert((id, ordinal), bytes);
        Ok(())
    }

    async fn intake_commit(&self, message: NewMessage) -> Result<(), CommitError> {
        self.tables().commit(message).map_err(|sentence| CommitError::NotStored(misuse(sentence)))
    }

    async fn intake_awaited(&self, message: NewMessage, note: DotNote) -> Result<(), CommitError> {
        let mut tables = self.tables();
        let id = message.id;
        tables.commit(message).map_err(|what| CommitError::NotStored(misuse(what)))?;
        tables.claim_all(id);
        tables.dot_notes.insert(note.lane, note);
        Ok(())
    }

    async fn record_passed(&self, message: NewMessage, reply: DeliveryReply, now: WallTime) -> Result<(), SpoolError> {
        let mut tables = self.tables();
        let (id, recipients) = (message.id, message.recipients.len());
        tables.commit(message).map_err(|what| SpoolError::Engine(misuse(what)))?;
        tables.claim_all(id);
        let outcome = Outcome::Delivered { reply };
        let outcomes = (0u32..).zip(std::iter::repeat_n(outcome, recipients)).collect();
        tables.report(&Report { id, outcomes, via: None }, now);
        Ok(())
    }

    async fn intake_abandon(&self, id: SpoolId) -> Result<(), SpoolError> {
        let mut tables = self.tables();
        if !tables.messages.contains_key(&id) {
            tables.chunks.retain(|(owner, _), _| *owner != id);
        }
        Ok(())
    }

    async fn intake_status(&self, id: SpoolId) -> Result<IntakeStatus, SpoolError> {
        let is_stored = self.tables().messages.contains_key(&id);
        Ok(if is_stored { IntakeStatus::Committed } else { IntakeStatus::Absent })
    }

    async fn claim(&self, query: ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
        Ok(self.tables().claim(&query))
    }

    async fn settle(&self, reports: Vec<Report>, notes: Vec<DotNote>, now: WallTime) -> Result<(), SpoolError> {
        let mut tables = self.tables();
        for report in &reports {
            tables.report(report, now);
        }
        tables.dot_notes.extend(notes.into_iter().map(|note| (note.lane, note)));
        Ok(())
    }

    async fn rule(&self, id: SpoolId, ruling: Ruling, change: Change) -> Result<u64, SpoolError> {
        Ok(self.tables().rule(id, ruling, &change))
    }

    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError> {
        Ok(self.tables().holds.iter().map(|(account, hold)| (*account, hold.clone())).collect())
    }

    async fn set_hold(&self, account: AccountId, hold: Option<Hold>, change: Change) -> Result<(), SpoolError> {
        self.tables().set_hold(account, hold, &change);
        Ok(())
    }

    async fn expire(&self, terms: ExpiryTerms, now: WallTime) -> Result<Expiry, SpoolError> {
        Ok(self.tables().expire(&terms, now))
    }

    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError> {
        Ok(self.tables().oldest_waiting())
    }

    async fn next_due(&self, account: AccountId) -> Result<Option<WallTime>, SpoolError> {
        Ok(self.tables().queued(account).map(|held| held.due_at).min())
    }

    async fn make_due(&self, account: AccountId, now: WallTime) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let mut changed = 0;
        for held in tables.queued(account).filter(|held| held.due_at > now) {
            held.due_at = now;
            changed += 1;
        }
        Ok(changed)
    }

    async fn body_chunk(&self, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        self.tables().chunks.get(&(id, ordinal)).cloned().ok_or(SpoolError::ChunkMissing(id))
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, SpoolError> {
        Ok(self.tables().list(&query))
    }

    async fn show(&self, id: SpoolId) -> Result<Option<MessageDetail>, SpoolError> {
        let tables = self.tables();
        Ok(tables.messages.get(&id).map(|stored| MessageDetail {
            row: stored.row(None),
            header_from: stored.message.header.from.clone(),
            message_id: stored.message.header.message_id.clone(),
            peer: stored.message.peer,
            helo: stored.message.helo.clone(),
            sha256: stored.message.sha256,
            trace: stored.message.trace.clone(),
        }))
    }

    async fn trace(&self, id: SpoolId) -> Result<Trace, SpoolError> {
        Ok(self.tables().notices.trace(id))
    }

    async fn retry(&self, selection: RetrySelection, change: Change) -> Result<u64, SpoolError> {
        Ok(self.tables().retry(&selection, &change))
    }

    fn usage(&self, account: AccountId) -> Usage {
        let tables = self.tables();
        let mut usage = Usage::default();
        for stored in tables.messages.values() {
            let is_waiting = stored.matches(StateFilter::Waiting, Some(account));
            let is_refused = !is_waiting && stored.matches(StateFilter::Refused, Some(account));
            usage.waiting += u64::from(is_waiting);
            usage.refused += u64::from(is_refused);
            usage.octets += if is_waiting || is_refused { stored.message.octets } else { 0 };
        }
        usage
    }

    async fn tally(&self, account: AccountId) -> Result<Tally, SpoolError> {
        let tables = self.tables();
        let counter = tables.counters.get(&account).copied().unwrap_or_default();
        let states = || tables.messages.values().flat_map(|m| m.of(Some(account))).map(|(_, held)| held.state);
        Ok(Tally {
            accepted: counter.accepted,
            delivered: counter.delivered,
            deleted: counter.deleted,
            expired: counter.expired,
            waiting: states().filter(|state| state.is_waiting()).count() as u64,
            refused: states().filter(|state| state.is_quarantined()).count() as u64,
        })
    }

    async fn recover(&self) -> Result<Recovered, SpoolError> {
        let mut tables = self.tables();
        let doubtful = tables.take_doubtful();
        let mut claimed = 0;
        for held in tables.messages.values_mut().flat_map(|stored| &mut stored.recipients) {
            if held.state == RecipientState::Claimed {
                held.state = RecipientState::Queued;
                claimed += 1;
            }
        }
        let Tables { messages, chunks, .. } = &mut *tables;
        chunks.retain(|(id, _), _| messages.contains_key(id));
        Ok(Recovered { claimed, doubtful })
    }

    async fn return_claims(&self, account: AccountId) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let mut claimed = 0;
        for held in tables.messages.values_mut().flat_map(|stored| &mut stored.recipients) {
            if held.account == account && held.state == RecipientState::Claimed {
                held.state = RecipientState::Queued;
                claimed += 1;
            }
        }
        Ok(claimed)
    }

    async fn purge_delivered(&self, delivered_before: WallTime) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let before = tables.messages.len();
        tables.messages.retain(|_, stored| stored.delivered_at.is_none_or(|at| at >= delivered_before));
        let Tables { messages, notices, .. } = &mut *tables;
        notices.forget_all_but(|id| messages.contains_key(&id));
        Ok((before - tables.messages.len()) as u64)
    }
}
