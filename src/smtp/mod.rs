//! The SMTP session: what we say to a sender and when a message is ours.
//!
//! ```text
//! octets -> Session (command -> verb -> admission, content) -> Action -> driver -> spool, and back: handle_committed
//! ```
//!
//! A [`Session`](session::Session) decides and does no I/O; [`driver`] moves octets and asks the spool. A message is
//! ours once the spool has committed it, and only then is 250 said to the final dot. We take mail for domains in the
//! directory and for nobody else ([`admission`]).

pub mod admission;
pub mod brake;
pub mod command;
pub mod connection;
pub mod content;
pub mod counters;
pub mod driver;
pub mod dsn;
pub mod gate;
pub mod header;
pub mod login;
pub mod pace;
pub mod path;
pub mod rates;
pub mod refusals;
pub mod reply;
mod requests;
pub mod session;
pub mod settings;
pub mod through;
pub mod trace;
mod transactions;
mod verb;
mod whereabouts;
pub mod world;

use crate::base::AccountId;

pub use counters::{Counters, CountersShown};
pub use driver::{BindError, SmtpRooms, SmtpServer, bind};
pub use settings::{Patience, Settings};

/// Who wants to know that mail was stored: delivery. Calls return at once.
pub trait StoredListener: Send + Sync {
    /// A message with recipients of these accounts was committed.
    fn mail_stored(&self, accounts: &[AccountId]);
    /// The account's server asks for what waits. Returns at once.
    fn flush_wanted(&self, account: AccountId);
}

#[cfg(test)]
#[path = "../../tests/conformance/support/fakes.rs"]
mod fakes;
