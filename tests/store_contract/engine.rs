//! The engines under test, and short ways to make accounts and messages for them.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeZone;
use pulsemx::account::{AccountStore, BeatKeyRecord, Change, NewAccount};
use pulsemx::base::{AccountId, DomainName, EndpointId, Mailbox, ReversePath, SpoolId, WallTime};
use pulsemx::liveness::TransitionLog;
use pulsemx::spool::{
    BodyType, ClaimQuery, Claimed, DeliveryReply, HeaderSummary, NewMessage, NewRecipient, Outcome, Report, SpoolStore,
};
use pulsemx::store::sqlite::Settings;
use pulsemx::store::{MemoryStore, SqliteStore};

pub trait Everything: AccountStore + TransitionLog + SpoolStore {}
impl<T: AccountStore + TransitionLog + SpoolStore> Everything for T {}

/// An engine that may be stopped and started again. `restart` of the memory engine keeps the value.
pub enum Engine {
    Memory(MemoryStore),
    Sqlite { store: Arc<SqliteStore>, directory: tempfile::TempDir },
}

impl Engine {
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pulsemx.db");
        Self::Sqlite { store: SqliteStore::open(Settings { path }).unwrap(), directory }
    }

    pub fn store(&self) -> &dyn Everything {
        match self {
            Self::Memory(store) => store,
            Self::Sqlite { store, .. } => &**store,
        }
    }

    pub fn path(directory: &tempfile::TempDir) -> PathBuf {
        directory.path().join("pulsemx.db")
    }

    pub fn restart(&mut self) {
        if let Self::Sqlite { store, directory } = self {
            store.close();
            *store = SqliteStore::open(Settings { path: Self::path(directory) }).unwrap();
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

pub fn at(second: i64) -> WallTime {
    chrono::Utc.timestamp_opt(1_800_000_000 + second, 123_456_789).unwrap()
}

pub fn change(second: i64) -> Change {
    Change { at: at(second), who: "operator".to_owned() }
}

pub fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub fn key(locator: u8) -> BeatKeyRecord {
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

pub fn new_account(text: &str, locator: u8) -> NewAccount {
    NewAccount {
        name: text.parse().unwrap(),
        host: name(&format!("{text}.dyn.example")),
        smtp_port: 25,
        domains: vec![name(&format!("{text}.example"))],
        key: key(locator),
    }
}

pub async fn account(store: &dyn Everything, text: &str, locator: u8) -> (AccountId, EndpointId) {
    store.create_account(new_account(text, locator), change(0)).await.unwrap()
}

pub fn id(number: i64) -> SpoolId {
    SpoolId::from_i64(number)
}

pub fn message(number: i64, recipients: &[(AccountId, &str)]) -> NewMessage {
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
            })
            .collect(),
        smtputf8: false,
        body: BodyType::EightBitMime,
        trace: Bytes::from_static(b"Received: from x by y\r\n"),
        sha256: [u8::try_from(number % 250).unwrap(); 32],
        octets: content.len() as u64,
        header: HeaderSummary { subject: format!("{number}"), from: "a".to_owned(), message_id: "<b@c>".to_owned() },
        peer: Ipv4Addr::new(192, 0, 2, 9).into(),
        helo: "mx.elsewhere.example".to_owned(),
        tls: Some("TLSv1.3".to_owned()),
        chunks_ahead: 0,
        tail: vec![content],
    }
}

pub fn query(account: AccountId, second: i64) -> ClaimQuery {
    ClaimQuery { account, domains: Vec::new(), now: at(second), messages_max: 100, octets_max: u64::MAX }
}

pub async fn claim(store: &dyn Everything, account: AccountId, second: i64) -> Vec<Claimed> {
    store.claim(query(account, second)).await.unwrap()
}

pub fn numbers(claimed: &[Claimed]) -> Vec<i64> {
    claimed.iter().map(|message| message.id.as_i64()).collect()
}

pub fn reply(code: u16) -> DeliveryReply {
    DeliveryReply { code: Some(code), text: format!("reply {code}") }
}

pub fn delivered() -> Outcome {
    Outcome::Delivered { reply: reply(250) }
}

pub fn refused() -> Outcome {
    Outcome::Refused { reply: reply(550) }
}

pub fn deferred(second: i64) -> Outcome {
    Outcome::Deferred { until: at(second), reply: reply(451) }
}

pub async fn report(store: &dyn Everything, number: i64, outcomes: &[(u32, Outcome)], second: i64) {
    store.report(vec![Report { id: id(number), outcomes: outcomes.to_vec() }], at(second)).await.unwrap();
}

pub async fn assert_balanced(store: &dyn Everything, account: AccountId) {
    let tally = store.tally(account).await.unwrap();
    assert!(tally.is_balanced(), "{tally:?}");
}
