//! One SMTP connection to a primary, driven through lettre: transactions one after the other.

pub mod driver;

pub use driver::{Attempt, Connection};
