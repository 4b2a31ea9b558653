//! Who may do what: accounts, their mail servers and domains, the people who look after them, and the record
//! of who changed what.
//!
//! One account has one or more [`Endpoint`]s (mail servers with a heartbeat key each); a [`Domain`] lists the
//! endpoints that may receive its mail, in order; people and accounts are many to many, with a [`Role`] each.
//! Everything here changes rarely: it is kept in the store and read from a [`Directory`] in memory.

pub mod api_token;
pub mod directory;
pub mod forwarder;
mod holiday;
pub mod model;
pub mod passkey;
pub mod people;
pub mod preference;
pub mod seal;
pub mod store;
pub mod token_office;

pub use api_token::{ApiToken, ApiTokenError, ApiTokenId, ApiTokenIdError, ApiTokenStore, Scope, Scopes};
pub use directory::{Directory, DirectoryHandle, Kept, ServedDomain};
pub use forwarder::{FORWARDERS_MAX, ForwarderError, checked_forwarders};
pub use holiday::{HOLIDAY_MAX, Holiday};
pub use model::{
    Account, AccountName, AccountNameError, AccountStatus, BeatKeyRecord, Domain, Endpoint, LEAVING_FOR, Manners,
    Membership, OPERATOR, OPERATOR_NAME, OnlineMode, Person, Role, SUSPENDED_TAKES_MAIL_FOR,
};
pub use passkey::{Passkey, PasskeyStore};
pub use people::{Choice, NewSession, OpenSession, PeopleStore, Publication, Seen, Tongue};
pub use preference::{Detour, Preferences, Rewrite, Route, RouteError};
pub use seal::{SealError, SealKey};
pub use store::{AccountError, AccountStore, AuditEntry, Change, NewAccount, SignInLink, WebSession};
pub use token_office::{ApiTokens, FreshApiToken, Grantor, NewApiToken};
