//! Hands one mail to the next server.

pub mod driver;

pub use driver::Sending;
