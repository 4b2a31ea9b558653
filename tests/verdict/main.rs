//! Senders are checked against a name server on loopback, with mail that is really signed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod checker;
mod dns;
mod judgement;
mod mail;
