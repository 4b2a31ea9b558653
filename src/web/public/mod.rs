//! What an account shows to everybody who has the address: its state, a badge, and feeds of its outages. Off unless it was
//! switched on; without addresses, without counts of mail, without names.

mod badge;
mod calendar;
pub(super) mod handlers;
mod limit;
mod office;
mod templates;

pub use badge::BadgeKey;
pub use office::{Addresses, publish};

pub(super) use limit::Guests;
