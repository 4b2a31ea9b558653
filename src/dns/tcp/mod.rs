//! Answers over TCP and TLS.

pub mod driver;
