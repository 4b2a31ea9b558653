//! What a person keeps here beside a place in accounts: open sessions, language and zone, a password; and whether an
//! account shows its state to everybody.

use std::net::IpAddr;

use async_trait::async_trait;

use super::store::{AccountError, Change};
use crate::base::{AccountId, PersonId, WallTime};

/// Letters of a browser's name that are kept of a session.
pub const AGENT_CHARS_MAX: usize = 200;
/// A session's last use is written down at most this often.
pub const SESSION_SEEN_EVERY: std::time::Duration = std::time::Duration::from_secs(300);

/// A language that a person reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tongue {
    /// German.
    De,
    /// English.
    En,
}

impl Tongue {
    /// As in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
        }
    }
}

/// Not a language we speak.
#[derive(Debug, thiserror::Error)]
#[error("not a language of the pages")]
pub struct UnknownTongue;

impl std::str::FromStr for Tongue {
    type Err = UnknownTongue;

    fn from_str(text: &str) -> Result<Self, UnknownTongue> {
        match text {
            "de" => Ok(Self::De),
            "en" => Ok(Self::En),
            _ => Err(UnknownTongue),
        }
    }
}

/// In which language and zone a person reads the pages. Absent: as the browser says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// Language.
    pub tongue: Option<Tongue>,
    /// Time zone.
    pub zone: Option<chrono_tz::Tz>,
}

/// How a browser was seen to use its session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// When.
    pub at: WallTime,
    /// Its `User-Agent`, cut to [`AGENT_CHARS_MAX`].
    pub agent: String,
    /// From where, as the listener saw it.
    pub address: IpAddr,
}

/// An open session as its person sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenSession {
    /// SHA-256 of the cookie's secret.
    pub secret_hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: WallTime,
    /// When it was opened; unknown of one that is older than this record.
    pub made_at: Option<WallTime>,
    /// Its last use, to within [`SESSION_SEEN_EVERY`].
    pub seen: Option<Seen>,
}

/// A session opened with a password.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// SHA-256 of the cookie's secret.
    pub secret_hash: [u8; 32],
    /// Who.
    pub person: PersonId,
    /// When it ends by itself.
    pub expires_at: WallTime,
}

/// The public page of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Names the page, and the feeds.
    pub page_id: String,
    /// Names the badge: made from `page_id` one way, so that a badge does not lead to the page.
    pub badge_id: String,
}

/// People and what is public. Every change carries its audit row in the same transaction, one for each account of the
/// person, so that all who look after it see it.
#[async_trait]
pub trait PeopleStore: Send + Sync {
    /// Opens a session. A hash that is known already is [`AccountError::LinkSpent`].
    async fn open_session(&self, new: NewSession, change: Change) -> Result<(), AccountError>;
    /// Writes down how a session is used; the first time, when it was made as well. An ended one is left alone.
    async fn see_session(&self, secret_hash: [u8; 32], seen: Seen) -> Result<(), AccountError>;
    /// The person's open sessions, the last used first.
    async fn sessions_of(&self, person: PersonId, now: WallTime) -> Result<Vec<OpenSession>, AccountError>;
    /// Ends those of the sessions `which` that are the person's; how many they were. None leaves no audit row.
    async fn end_sessions(&self, person: PersonId, which: Vec<[u8; 32]>, change: Change) -> Result<u64, AccountError>;
    /// Language and zone.
    async fn choice_of(&self, person: PersonId) -> Result<Choice, AccountError>;
    /// Keeps language and zone. The same again leaves no audit row.
    async fn set_choice(&self, person: PersonId, choice: Choice, change: Change) -> Result<(), AccountError>;
    /// The person of that name, or the owner of the account of that name, and the hash of the password, as PHC string.
    async fn password_of(&self, name: &str) -> Result<Option<(PersonId, String)>, AccountError>;
    /// Whether the person has a password.
    async fn has_password(&self, person: PersonId) -> Result<bool, AccountError>;
    /// Sets or forgets the password and ends all sessions of the person but `keep`: who took the old one is out.
    async fn set_password(
        &self,
        person: PersonId,
        hash: Option<String>,
        keep: [u8; 32],
        change: Change,
    ) -> Result<(), AccountError>;
    /// The public page of an account.
    async fn publication(&self, account: AccountId) -> Result<Option<Publication>, AccountError>;
    /// Makes the state of an account public under these ids, or takes it back; ids that were taken back are gone.
    async fn set_publication(
        &self,
        account: AccountId,
        publication: Option<Publication>,
        change: Change,
    ) -> Result<(), AccountError>;
    /// The account of a public page.
    async fn published_page(&self, page_id: &str) -> Result<Option<AccountId>, AccountError>;
    /// The account of a badge.
    async fn published_badge(&self, badge_id: &str) -> Result<Option<AccountId>, AccountError>;
}
