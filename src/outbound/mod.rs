//! What a sender is told of his mail, and how mail of our own leaves.
//!
//! ```text
//! outcome + notice (one transaction) -> decide -> compose, sign -> outgoing row (one transaction with the notice's end)
//!                                                                  -> lookup, sending -> sent | later | given up
//! ```
//!
//! Off until the configuration names who writes (`outbound.from`): then what cannot be delivered is kept and shown, and
//! nobody is told. A notice is made with the outcome it speaks of and closed with the mail it becomes, so a crash at
//! any point neither loses nor doubles a report; the mail itself may reach the next server twice, under one Message-ID
//! (RFC 1047). There is no DANE and no MTA-STS: TLS is opportunistic, except towards a smart host that gets a password.

pub mod compose;
pub mod decide;
pub mod driver;
pub mod lookup;
pub mod model;
pub mod operator;
pub mod route;
#[cfg(test)]
mod sample;
pub mod seal;
pub mod sending;
pub mod settings;
pub mod sign;
pub mod store;
pub mod vouch;
pub mod vouching;

pub use driver::{PostOffice, Rooms, StartError};
pub use settings::{Settings, SmartHost};
pub use store::OutboundStore;
