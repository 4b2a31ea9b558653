//! What the deliveries of all accounts share.

pub mod driver;

pub use driver::{Common, Slot};
