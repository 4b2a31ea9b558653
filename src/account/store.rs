//! What the account room asks of a storage engine.

use async_trait::async_trait;

use super::directory::Directory;
use super::model::{AccountName, AccountStatus, BeatKeyRecord, Manners, Membership, OnlineMode, Person, Role};
use super::preference::Preferences;
use crate::base::{AccountId, DomainName, EndpointId, PersonId, WallTime};

/// Why a change of accounts did not happen. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is in use.
    #[error("an account named '{0}' exists already; see `pulsemx account list`")]
    NameTaken(AccountName),
    /// The domain or host name is served for another account or twice.
    #[error("'{0}' is served already; remove it there first with `pulsemx domain rm`")]
    DomainTaken(DomainName),
    /// It was the dynamic name of somebody else.
    #[error(
        "'{0}' was the dynamic name of another account; such a name is never given again, because old MX records may still lead to it"
    )]
    NameRetired(DomainName),
    /// No such account.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// No such domain in this account.
    #[error("this account does not serve '{0}'; see `pulsemx account show`")]
    NoDomain(DomainName),
    /// Mail is still held.
    #[error("{messages} messages are still held for this account; let them be delivered first")]
    MailHeld {
        /// How many.
        messages: u64,
    },
    /// A collision of random values, or a link that was used or has run out.
    #[error("the link is not valid any more; make a new one with `pulsemx account link`")]
    LinkSpent,
    /// The engine failed.
    #[error("the account store failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One line of the audit log: who did what. Written in the transaction of the change itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: WallTime,
    /// `operator`, a person's name, or the name of an internal actor.
    pub who: String,
    /// The account concerned.
    pub account: Option<AccountId>,
    /// The verb and its object, `account.add firma`.
    pub what: String,
}

/// When and by whom a change is made.
#[derive(Clone, Debug)]
pub struct Change {
    /// Now.
    pub at: WallTime,
    /// For the audit log.
    pub who: String,
}

/// A new account with one endpoint, its key and its first domains.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Unique.
    pub name: AccountName,
    /// Dynamic name of the first endpoint.
    pub host: DomainName,
    /// SMTP port of the first endpoint.
    pub smtp_port: u16,
    /// Mail domains, all routed to that endpoint.
    pub domains: Vec<DomainName>,
    /// The heartbeat key; its `endpoint` is set by the store.
    pub key: BeatKeyRecord,
}

/// A sign-in link, valid once.
#[derive(Clone, Debug)]
pub struct SignInLink {
    /// SHA-256 of the secret in the link.
    pub secret_hash: [u8; 32],
    /// Whom it signs in.
    pub person: PersonId,
    /// When it stops to be valid.
    pub expires_at: WallTime,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    /// SHA-256 of the cookie's secret.
    pub secret_hash: [u8; 32],
    /// Who.
    pub person: PersonId,
    /// When it ends.
    pub expires_at: WallTime,
    /// When it was used last, as far as that was written down.
    pub seen_at: Option<WallTime>,
}

/// Names for the owner of a new account, the first free one to be taken. No account and no other person is named so.
pub fn owner_names(account: &str) -> impl Iterator<Item = String> {
    let account = account.to_owned();
    (1u32..).map(move |n| if n == 1 { format!("{account} (owner)") } else { format!("{account} (owner {n})") })
}

/// Accounts, domains, keys, people. Every change carries its audit row in the same transaction.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Reads everything that [`Directory`] holds; expired keys are left out.
    async fn load_directory(&self, now: WallTime) -> Result<Directory, AccountError>;
    /// Adds an account with its first endpoint, key and domains, and a new person who owns it.
    async fn create_account(&self, new: NewAccount, change: Change) -> Result<(AccountId, EndpointId), AccountError>;
    /// Changes what the contract allows. The same status again changes nothing, its beginning included.
    async fn set_status(&self, account: AccountId, status: AccountStatus, change: Change) -> Result<(), AccountError>;
    /// Says what happens to an account's mail while its server is there; `None`: as the configuration says for all.
    async fn set_online_mode(
        &self,
        account: AccountId,
        mode: Option<OnlineMode>,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Removes an account with all that hangs on it. Refused while mail is held ([`AccountError::MailHeld`]). Its
    /// dynamic names that ever had an address are retired for ever ([`AccountError::NameRetired`]); its domains may be served for others.
    async fn remove_account(&self, account: AccountId, change: Change) -> Result<(), AccountError>;
    /// Serves one more domain for an account, routed to `endpoints` in this order.
    async fn add_domain(
        &self,
        account: AccountId,
        domain: DomainName,
        endpoints: Vec<EndpointId>,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Stops serving a domain. Mail held for it stays the account's and is delivered as before; new mail is put off
    /// for [`LEAVING_FOR`](super::LEAVING_FOR) ([`Kept::Retired`](super::Kept)), then refused.
    async fn remove_domain(&self, account: AccountId, domain: DomainName, change: Change) -> Result<(), AccountError>;
    /// Adds the key of a new token; older keys of the endpoint expire at `old_keys_expire_at` at the latest.
    async fn rotate_key(
        &self,
        key: BeatKeyRecord,
        old_keys_expire_at: WallTime,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Pins the key by which a mail server proves itself, or forgets it.
    async fn set_pin(&self, endpoint: EndpointId, pin: Option<[u8; 32]>, change: Change) -> Result<(), AccountError>;
    /// Replaces what an account chose for its mail; `what` says in the audit row what is different.
    async fn set_preferences(
        &self,
        account: AccountId,
        preferences: Preferences,
        what: String,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Keeps what a mail server offers. Nobody's doing, so it leaves no audit row.
    async fn set_manners(&self, endpoint: EndpointId, manners: Manners) -> Result<(), AccountError>;
    /// The person of that name, made if missing. One who exists with other rights is an error.
    async fn ensure_person(&self, name: &str, is_operator: bool, change: Change) -> Result<PersonId, AccountError>;
    /// The owner of an account (the first, if several).
    async fn owner_of(&self, account: AccountId) -> Result<Option<PersonId>, AccountError>;
    /// A person with all places in accounts.
    async fn person(&self, person: PersonId) -> Result<Option<(Person, Vec<Membership>)>, AccountError>;
    /// Gives a person a place in an account, or changes the role.
    async fn set_membership(
        &self,
        person: PersonId,
        account: AccountId,
        role: Role,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Keeps a sign-in link.
    async fn add_link(&self, link: SignInLink, change: Change) -> Result<(), AccountError>;
    /// Uses up a link and opens the session `session_hash`, atomically. [`AccountError::LinkSpent`] the second time.
    async fn redeem_link(
        &self,
        link_hash: [u8; 32],
        session_hash: [u8; 32],
        session_expires_at: WallTime,
        now: WallTime,
    ) -> Result<PersonId, AccountError>;
    /// The session of that cookie, unless it has ended.
    async fn session(&self, secret_hash: [u8; 32], now: WallTime) -> Result<Option<WebSession>, AccountError>;
    /// Ends a session.
    async fn end_session(&self, secret_hash: [u8; 32]) -> Result<(), AccountError>;
    /// Writes an audit row for something that changes nothing here.
    async fn note(&self, what: String, change: Change) -> Result<(), AccountError>;
    /// The same about one account: who looked at it, who took a copy of a message.
    async fn note_of(&self, account: AccountId, what: String, change: Change) -> Result<(), AccountError>;
    /// The newest audit rows, of one account or of all.
    async fn audit(&self, account: Option<AccountId>, limit: u32) -> Result<Vec<AuditEntry>, AccountError>;
}
