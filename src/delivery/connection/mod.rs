//! One open connection: commands, replies and content of one message after the other.

pub mod driver;

pub use driver::{Attempt, Connection, Ledger, NotBegun, Offer, Passed, Pieces};
