//! What the update room asks of a storage engine.

use async_trait::async_trait;

use super::model::{DeviceRequest, HostName, Policy, Role, TokenRecord};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId};

/// Why a change did not happen. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// No such account, or no such mail server.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// No such token in this account.
    #[error("this account has no update token {0}; see `pulsemx token list`")]
    NoToken(i64),
    /// No such name in this account.
    #[error("'{0}' is no further name of this account; see `pulsemx host list`")]
    NoHost(DomainName),
    /// The name is in use.
    #[error("'{0}' is in use already")]
    NameTaken(DomainName),
    /// It was the dynamic name of somebody else.
    #[error("'{0}' was the dynamic name of another account; such a name is never given again")]
    NameRetired(DomainName),
    /// A table of the account is full.
    #[error("this account has {0} of them already; remove one first")]
    Full(usize),
    /// The engine failed.
    #[error("the store of updates failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// All that is kept of updates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UpdateRows {
    /// Tokens, run-out ones included, by row.
    pub tokens: Vec<TokenRecord>,
    /// Names, in order of the alphabet.
    pub hosts: Vec<HostName>,
    /// What accounts settled; others have the default.
    pub policies: Vec<(AccountId, Policy)>,
    /// Mail servers that an update was accepted for.
    pub roles: Vec<(EndpointId, Role)>,
    /// Last requests, by account and device.
    pub requests: Vec<DeviceRequest>,
}

/// Tokens, names and last requests. Changes by a person carry their audit row in the same transaction.
#[async_trait]
pub trait UpdateStore: Send + Sync {
    /// Everything.
    async fn load_updates(&self) -> Result<UpdateRows, UpdateError>;
    /// Adds a token and returns its row.
    async fn add_token(&self, token: TokenRecord, change: Change) -> Result<i64, UpdateError>;
    /// Removes a token.
    async fn revoke_token(&self, account: AccountId, id: i64, change: Change) -> Result<(), UpdateError>;
    /// Adds a name, or changes its interface id if the account has it already.
    async fn add_host(&self, host: HostName, change: Change) -> Result<(), UpdateError>;
    /// Removes a name that is no mail server's, with the tokens for it.
    async fn remove_host(&self, account: AccountId, name: DomainName, change: Change) -> Result<(), UpdateError>;
    /// Keeps what an account settled.
    async fn set_policy(&self, account: AccountId, policy: Policy, change: Change) -> Result<(), UpdateError>;
    /// Keeps whose word counts for a mail server. One that is gone is left out.
    async fn set_role(&self, endpoint: EndpointId, role: Role) -> Result<(), UpdateError>;
    /// Keeps where names point; durable when it returns. A row older than the stored one is left out, so is one
    /// whose mail server is gone.
    async fn set_hosts(&self, hosts: Vec<HostName>) -> Result<(), UpdateError>;
    /// Keeps the last request of a device in place of the one before, for the newest devices of the account. Not
    /// synced at once: a lost one costs a line on a page.
    async fn note_request(&self, request: DeviceRequest) -> Result<(), UpdateError>;
}
