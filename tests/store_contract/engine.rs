//! The engines under test, and short ways to make accounts and messages for them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeZone;
use pulsemx::account::{AccountStore, ApiTokenStore, BeatKeyRecord, Change, NewAccount, PasskeyStore, PeopleStore};
use pulsemx::alert::AlertStore;
use pulsemx::base::{AccountId, DomainName, EndpointId, Mailbox, ReversePath, SpoolId, WallTime};
use pulsemx::dns::{ChallengeStore, NameStore, ZoneKeyStore};
use pulsemx::drill::DrillStore;
use pulsemx::liveness::TransitionLog;
use pulsemx::outbound::OutboundStore;
use pulsemx::recipient::RecipientStore;
use pulsemx::smtp::refusals::RefusalStore;
use pulsemx::spool::{
    BodyType, ClaimOrder, ClaimQuery, Claimed, DeliveryReply, HeaderSummary, MessageDsn, NewMessage, NewRecipient,
    Outcome, RecipientDsn, Report, SpoolStore,
};
use pulsemx::store::sqlite::Settings;
use pulsemx::store::{MemoryStore, SqliteStore};
use pulsemx::update::UpdateStore;
use pulsemx::verdict::VerdictStore;

pub(crate) trait Everything:
    AccountStore
    + TransitionLog
    + SpoolStore
    + UpdateStore
    + RecipientStore
    + VerdictStore
    + NameStore
    + ChallengeStore
    + ZoneKeyStore
    + RefusalStore
    + AlertStore
    + DrillStore
    + ApiTokenStore
    + OutboundStore
    + PeopleStore
    + PasskeyStore
{
}
impl<
    T: AccountStore
        + TransitionLog
        + SpoolStore
        + UpdateStore
        + RecipientStore
        + VerdictStore
        + NameStore
        + ChallengeStore
        + ZoneKeyStore
        + RefusalStore
        + AlertStore
        + DrillStore
        + ApiTokenStore
        + OutboundStore
        + PeopleStore
        + PasskeyStore,
> Everything for T
{
}

/// An engine that may be stopped and started again. `restart` of the memory engine keeps the value.
pub(crate) enum Engine {
    Memory(MemoryStore),
    Sqlite { store: Arc<SqliteStore>, directory: tempfile::TempDir },
}

impl Engine {
    pub(crate) fn memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pulsemx.db");
        Self::Sqlite { store: SqliteStore::open(Settings::at(path)).unwrap(), directory }
    }

    pub(crate) fn store(&self) -> &dyn Everything {
        match self {
            Self::Memory(store) => store,
            Self::Sqlite { store, .. } => &**store,
        }
    }

    pub(crate) fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("pulsemx.db")
    }

    pub(crate) fn restart(&mut self) {
        if let Self::Sqlite { store, directory } = self {
            store.close();
            *store = SqliteStore::open(Settings::at(Self::path(directory))).unwrap();
        }
    }
}

/// Makes one test per engine of `async fn name(engine: Engine)`.
macro_rules! for_each_engine {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name($crate::engine::Engine::memory()).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name($crate::engine::Engine::sqlite()).await; })*
        }
    };
}
pub(crate) use for_each_engine;

pub(crate) fn at(second: i64) -> WallTime {
    chrono::Utc.timestamp_opt(1_800_000_000 + second, 123_456_789).unwrap()
}

pub(crate) fn change(second: i64) -> Change {
    Change { at: at(second), who: "operator".to_owned() }
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(crate) fn key(locator: u8) -> BeatKeyRecord {
    BeatKeyRecord {
        endpoint: EndpointId(0),
        locator: [locator; 8],
        sealed_mac_keys: vec![locator, 1, 2],
        move_key: [locator; 32],
        bearer_verifier: [locator + 1; 32],
        created_at: at(0),
        expires_at: None,
    }
}

pub(crate) fn new_account(text: &str, locator: u8) -> NewAccount {
    NewAccount {
        name: text.parse().unwrap(),
        host: name(&format!("{text}.dyn.example")),
        smtp_port: 25,
        domains: vec![name(&format!("{text}.example"))],
        key: key(locator),
    }
}

pub(crate) async fn account(store: &dyn Everything, text: &str, locator: u8) -> (AccountId, EndpointId) {
    store.create_account(new_account(text, locator), change(0)).await.unwrap()
}

pub(crate) fn id(number: i64) -> SpoolId {
    SpoolId::from_i64(number)
}

/// The id of a message accepted in this second.
pub(crate) fn spool_id(second: i64) -> SpoolId {
    SpoolId::first_of(at(second))
}

pub(crate) fn message(number: i64, recipients: &[(AccountId, &str)]) -> NewMessage {
    let content = Bytes::from(format!("Subject: {number}\r\n\r\nhello\r\n"));
    NewMessage {
        id: id(number),
        accepted_at: at(number),
        reverse_path: ReversePath::parse("sender@elsewhere.example", false).unwrap(),
        recipients: recipients
            .iter()
            .map(|(account, mailbox)| NewRecipient {
                account: *account,
                mailbox: Mailbox::parse(mailbox, true).unwrap(),
                dsn: RecipientDsn::default(),
            })
            .collect(),
        smtputf8: false,
        requires_tls: false,
        body: BodyType::EightBitMime,
        dsn: MessageDsn::default(),
        trace: Bytes::from_static(b"Received: from x by y\r\n"),
        sha256: [u8::try_from(number % 250).unwrap(); 32],
        octets: content.len() as u64,
        header: HeaderSummary {
            subject: format!("{number}"),
            from: "a".to_owned(),
            message_id: "<b@c>".to_owned(),
            is_bulk: false,
        },
        peer: Ipv4Addr::new(192, 0, 2, 9).into(),
        helo: "mx.elsewhere.example".to_owned(),
        tls: Some("TLSv1.3".to_owned()),
        chunks_ahead: 0,
        tail: vec![content],
    }
}

pub(crate) fn query(account: AccountId, second: i64) -> ClaimQuery {
    ClaimQuery {
        account,
        domains: Vec::new(),
        now: at(second),
        messages_max: 100,
        octets_max: u64::MAX,
        order: ClaimOrder::OldestFirst,
    }
}

pub(crate) async fn claim(store: &dyn Everything, account: AccountId, second: i64) -> Vec<Claimed> {
    store.claim(query(account, second)).await.unwrap()
}

pub(crate) fn numbers(claimed: &[Claimed]) -> Vec<i64> {
    claimed.iter().map(|message| message.id.as_i64()).collect()
}

pub(crate) fn reply(code: u16) -> DeliveryReply {
    DeliveryReply { code: Some(code), text: format!("reply {code}") }
}

pub(crate) fn delivered() -> Outcome {
    Outcome::Delivered { reply: reply(250) }
}

pub(crate) fn refused() -> Outcome {
    Outcome::Refused { reply: reply(550) }
}

pub(crate) fn deferred(second: i64) -> Outcome {
    Outcome::Deferred { until: at(second), reply: reply(451) }
}

pub(crate) async fn report(store: &dyn Everything, number: i64, outcomes: &[(u32, Outcome)], second: i64) {
    store.report(vec![Report { id: id(number), outcomes: outcomes.to_vec(), via: None }], at(second)).await.unwrap();
}

pub(crate) async fn assert_balanced(store: &dyn Everything, account: AccountId) {
    let tally = store.tally(account).await.unwrap();
    assert!(tally.is_balanced(), "{tally:?}");
}
