//! A spool in memory, lines that stand still and a village of customers, for sessions under test.
//!
//! Also compiled into the unit tests of `src/smtp`; both crate roots have the rooms under the same names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::account::{Account, AccountStatus, Change, Directory, Domain, Endpoint};
use crate::base::{AccountId, DomainName, EndpointId, SpoolId, WallTime};
use crate::liveness::{LineEvent, LineState, LineView, Lines};
use crate::smtp::StoredListener;
use crate::spool::{
    ClaimQuery, Claimed, CommitError, DotNote, Expiry, ExpiryTerms, Hold, IntakeStatus, ListPage, ListQuery,
    MessageDetail, NewMessage, OldestWaiting, Recovered, Report, RetrySelection, Ruling, SpoolError, SpoolStore, Tally,
    Usage,
};

/// What the spool does with the next commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mood {
    /// Stores them.
    #[default]
    Works,
    /// Refuses them.
    Fails,
    /// Stores them and says that it does not know.
    DoubtsButStores,
    /// Loses them and says that it does not know.
    DoubtsAndLoses,
}

/// One stored message with its whole content.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) message: NewMessage,
    pub(crate) content: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct MemorySpool {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    mood: Mood,
    ahead: HashMap<SpoolId, Vec<Bytes>>,
    kept: Vec<Kept>,
    told: Vec<AccountId>,
}

impl MemorySpool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.lock().kept.clone()
    }

    /// Messages with pieces but without a commit.
    pub(crate) fn pieces_ahead(&self) -> usize {
        self.lock().ahead.len()
    }

    /// Accounts that delivery was told of.
    pub(crate) fn told(&self) -> Vec<AccountId> {
        self.lock().told.clone()
    }
}

impl StoredListener for MemorySpool {
    fn mail_stored(&self, accounts: &[AccountId]) {
        self.lock().told.extend_from_slice(accounts);
    }
    fn flush_wanted(&self, account: AccountId) {
        self.lock().told.push(account);
    }
}

#[async_trait]
impl SpoolStore for MemorySpool {
    async fn intake_chunk(&self, id: SpoolId, ordinal: u32, bytes: Bytes) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let pieces = inner.ahead.entry(id).or_default();
        assert_eq!(pieces.len(), ordinal as usize, "pieces come in order");
        pieces.push(bytes);
        Ok(())
    }
    async fn intake_commit(&self, message: NewMessage) -> Result<(), CommitError> {
        let mut inner = self.lock();
        let mood = inner.mood;
        if matches!(mood, Mood::Works | Mood::DoubtsButStores) {
            let mut content = inner.ahead.remove(&message.id).unwrap_or_default().concat();
            message.tail.iter().for_each(|piece| content.extend_from_slice(piece));
            inner.kept.push(Kept { message, content });
        }
        match mood {
            Mood::Works => Ok(()),
            Mood::Fails => Err(CommitError::NotStored("disk full".into())),
            Mood::DoubtsButStores | Mood::DoubtsAndLoses => Err(CommitError::Unknown("connection lost".into())),
        }
    }
    async fn intake_abandon(&self, id: SpoolId) -> Result<(), SpoolError> {
        self.lock().ahead.remove(&id);
        Ok(())
    }
    async fn intake_status(&self, id: SpoolId) -> Result<IntakeStatus, SpoolError> {
        let is_kept = self.lock().kept.iter().any(|kept| kept.message.id == id);
        Ok(if is_kept { IntakeStatus::Committed } else { IntakeStatus::Absent })
    }
    async fn claim(&self, _: ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
        Ok(vec![])
    }
    async fn settle(&self, _: Vec<Report>, _: Vec<DotNote>, _: WallTime) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn next_due(&self, _: AccountId) -> Result<Option<WallTime>, SpoolError> {
        Ok(None)
    }
    async fn make_due(&self, _: AccountId, _: WallTime) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn body_chunk(&self, id: SpoolId, _: u32) -> Result<Bytes, SpoolError> {
        Err(SpoolError::ChunkMissing(id))
    }
    async fn list(&self, _: ListQuery) -> Result<ListPage, SpoolError> {
        Ok(ListPage::default())
    }
    async fn show(&self, _: SpoolId) -> Result<Option<MessageDetail>, SpoolError> {
        Ok(None)
    }
    async fn retry(&self, _: RetrySelection, _: Change) -> Result<u64, SpoolError> {
        Ok(0)
    }
    fn usage(&self, _: AccountId) -> Usage {
        Usage::default()
    }
    async fn tally(&self, _: AccountId) -> Result<Tally, SpoolError> {
        Ok(Tally::default())
    }
    async fn rule(&self, _: SpoolId, _: Ruling, _: Change) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError> {
        Ok(Vec::new())
    }
    async fn set_hold(&self, _: AccountId, _: Option<Hold>, _: Change) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn expire(&self, _: ExpiryTerms, _: WallTime) -> Result<Expiry, SpoolError> {
        Ok(Expiry::default())
    }
    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError> {
        Ok(Vec::new())
    }
    async fn recover(&self) -> Result<Recovered, SpoolError> {
        Ok(Recovered::default())
    }
    async fn return_claims(&self, _: AccountId) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn purge_delivered(&self, _: WallTime) -> Result<u64, SpoolError> {
        Ok(0)
    }
}

/// Every line is OFFLINE since 2026-11-24T04:39Z.
#[derive(Debug)]
pub(crate) struct StillLines;

impl Lines for StillLines {
    fn line(&self, endpoint: EndpointId) -> Option<LineView> {
        Some(LineView {
            account: AccountId(endpoint.0),
            endpoint,
            state: LineState::Offline,
            since: WallTime::from_timestamp(1_795_495_143, 0),
            last_beat: None,
            last_beat_at: None,
            address: None,
            interval: std::time::Duration::from_secs(5),
            missed: 9,
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
            name_held_until: None,
            recent_beats: vec![],
        })
    }
    fn account_line(&self, account: AccountId) -> Option<LineView> {
        self.line(EndpointId(account.0))
    }
    fn primary_greeted(&self, _: EndpointId, _: std::net::IpAddr) {}
    fn subscribe(&self) -> broadcast::Receiver<LineEvent> {
        broadcast::channel(1).1
    }
}

/// `firma.example` and `verein.example`, and `leaving.example` whose contract ends.
pub(crate) fn village() -> Directory {
    let account = |id: i64, status| Account {
        id: AccountId(id),
        name: format!("account-{id}").parse().unwrap(),
        status,
        status_since: WallTime::from_timestamp(1_795_000_000, 0).unwrap(),
        online_mode: None,
        created_at: WallTime::from_timestamp(1_795_000_000, 0).unwrap(),
    };
    let domain = |id: i64, text: &str| Domain {
        name: DomainName::parse(text).unwrap(),
        account: AccountId(id),
        endpoints: vec![EndpointId(id)],
    };
    let endpoint = |id: i64| Endpoint {
        id: EndpointId(id),
        account: AccountId(id),
        host: DomainName::parse(&format!("s{id}.dyn.example")).unwrap(),
        smtp_port: 25,
        address_v4: None,
        address_v6: None,
        pin: None,
        manners: None,
    };
    Directory::new(
        vec![
            account(1, AccountStatus::Active),
            account(2, AccountStatus::Suspended),
            account(3, AccountStatus::Leaving),
        ],
        vec![endpoint(1), endpoint(2), endpoint(3)],
        vec![domain(1, "firma.example"), domain(2, "verein.example"), domain(3, "leaving.example")],
        vec![],
    )
}
