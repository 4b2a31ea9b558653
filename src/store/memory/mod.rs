//! A store in memory with the same rules as the one on disk: for tests of other rooms and for the demo.
//!
//! Nothing survives the value. Everything is under one lock, so each call is one step.

mod account;
mod alert;
mod api_token;
mod challenge;
mod drill;
mod name;
mod notice;
mod passkey;
mod people;
mod recipient;
mod refusal;
mod spool;
mod spool_rule;
mod transition;
mod update;
mod verdict;
mod zone_key;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::account::{Account, AuditEntry, BeatKeyRecord, Change, Domain, Endpoint, Person, Role};
use crate::base::{AccountId, DomainName, EndpointId, PersonId, SpoolId, WallTime};
use crate::liveness::day::DayRow;
use crate::liveness::{Cause, HistoryRow, LineState};
use crate::recipient::{DomainRow, Learned, ListEntry};
use crate::spool::{DeliveryReply, DotNote, Hold, NewMessage, RecipientState};

/// The store in memory. Implements the traits of all rooms that have one.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Tables>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that a caller may not ask for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(&'static str);

type Boxed = Box<dyn std::error::Error + Send + Sync>;

fn misuse(sentence: &'static str) -> Boxed {
    Box::new(Misuse(sentence))
}

#[derive(Debug, Default)]
struct Tables {
    accounts: BTreeMap<AccountId, Account>,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    domains: BTreeMap<DomainName, Domain>,
    beat_keys: Vec<BeatKeyRecord>,
    people: BTreeMap<PersonId, Person>,
    memberships: BTreeMap<(PersonId, AccountId), Role>,
    links: HashMap<[u8; 32], (PersonId, WallTime)>,
    sessions: HashMap<[u8; 32], (PersonId, WallTime)>,
    audit: Vec<AuditEntry>,
    history: Vec<(AccountId, EndpointId, HistoryRow)>,
    lines: HashMap<EndpointId, Line>,
    days: BTreeMap<(AccountId, chrono::NaiveDate), DayRow>,
    updates: crate::update::UpdateRows,
    alerts: crate::alert::AlertRows,
    api_tokens: BTreeMap<crate::account::ApiTokenId, crate::account::ApiToken>,
    drills: HashMap<AccountId, crate::drill::Record>,
    fronts: BTreeMap<EndpointId, crate::dns::front::Front>,
    /// With their changes, newest first.
    zones: BTreeMap<DomainName, (crate::dns::store::StoredZone, Vec<crate::dns::store::ZoneChange>)>,
    /// What followed zones showed last.
    serials: BTreeMap<DomainName, u32>,
    tsig_keys: BTreeMap<DomainName, crate::dns::store::StoredKey>,
    /// What keys may change, by key and name.
    tsig_scopes: BTreeMap<(DomainName, DomainName), crate::dns::amend::scope::StoredScope>,
    /// With the key that each signs with.
    secondaries: BTreeMap<(DomainName, std::net::SocketAddr), Option<DomainName>>,
    zone_keys: Vec<crate::dns::sign::store::StoredZoneKey>,
    challenge_keys: Vec<crate::dns::challenge::key::ChallengeKey>,
    challenge_values: Vec<crate::dns::challenge::store::StoredValue>,
    messages: BTreeMap<SpoolId, Stored>,
    chunks: BTreeMap<(SpoolId, u32), Bytes>,
    counters: HashMap<AccountId, Counter>,
    holds: BTreeMap<AccountId, Hold>,
    refusals: Vec<crate::smtp::refusals::Refused>,
    /// By connection.
    dot_notes: BTreeMap<u64, DotNote>,
    /// Last number given to an account, endpoint or person: none is given twice.
    last_row: i64,
    last_claim: u64,
    retired: BTreeMap<DomainName, Retired>,
    recipients: Recipients,
    notices: notice::Notices,
    preferences: BTreeMap<AccountId, crate::account::Preferences>,
    people_rows: people::PeopleRows,
    /// By credential.
    passkeys: BTreeMap<Vec<u8>, crate::account::Passkey>,
}

/// What is known of recipients.
#[derive(Debug, Default)]
struct Recipients {
    domains: BTreeMap<(AccountId, DomainName), (DomainRow, Vec<ListEntry>)>,
    learned: BTreeMap<(AccountId, DomainName, String), Learned>,
}

/// A name that was served here once.
#[derive(Debug, Clone, Copy)]
struct Retired {
    account: AccountId,
    is_dynamic: bool,
    deferred_until: WallTime,
}

/// What is known of a line beside its history.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    state: Option<(LineState, WallTime)>,
    cause: Option<Cause>,
    told_since: Option<WallTime>,
    interval: Option<Duration>,
    no_data_since: Option<WallTime>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counter {
    accepted: u64,
    delivered: u64,
    deleted: u64,
    expired: u64,
}

#[derive(Debug)]
struct Stored {
    /// Its `tail` is in the table of chunks.
    message: NewMessage,
    chunks: u32,
    /// By ordinal.
    recipients: Vec<Held>,
    delivered_at: Option<WallTime>,
    verdict: Option<crate::verdict::Verdict>,
}

#[derive(Debug)]
struct Held {
    account: AccountId,
    state: RecipientState,
    due_at: WallTime,
    attempts: u32,
    refusals: u32,
    claim: u64,
    last_reply: Option<DeliveryReply>,
    last_attempt_at: Option<WallTime>,
    /// Since when it is in quarantine.
    ended_at: Option<WallTime>,
    /// Gone with its account, by a person's word, or after its quarantine; its place in the envelope stays empty.
    is_removed: bool,
}

impl Tables {
    fn next_row(&mut self) -> i64 {
        self.last_row += 1;
        self.last_row
    }

    /// Whether the name was the dynamic name of somebody else.
    fn is_anothers(&self, name: &DomainName, account: Option<AccountId>) -> bool {
        let known = self.retired.get(name).filter(|retired| retired.is_dynamic);
        known.is_some_and(|retired| Some(retired.account) != account)
    }

    /// Retires a dynamic name that ever had an address.
    fn retire_dynamic(&mut self, name: DomainName, account: AccountId, at: WallTime) {
        self.retired.entry(name).or_insert(Retired { account, is_dynamic: true, deferred_until: at });
    }

    fn note(&mut self, change: &Change, account: Option<AccountId>, what: String) {
        self.audit.push(AuditEntry { at: change.at, who: change.who.clone(), account, what });
    }
}
