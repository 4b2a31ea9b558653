//! A day in the life of one customer, told in a minute, with the real rooms.
//!
//! The server is the real one, the heartbeats come from the real client in a process of its own; only the customer's
//! mail server ([`primary`]) and the senders ([`sender`]) are simulated, on loopback. What is counted as delivered is
//! what that mail server received, compared octet by octet with what the senders sent.

pub mod driver;
pub mod line;
pub mod primary;
pub mod sender;
pub mod story;

pub use driver::{DemoError, DemoOptions, run};
