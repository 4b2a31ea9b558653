//! From an address to a server that has greeted us: TCP, greeting, EHLO or HELO, STARTTLS, by hand.

pub mod driver;
pub mod failure;

pub use driver::{Opened, Opening};
pub use failure::OpenFailure;
