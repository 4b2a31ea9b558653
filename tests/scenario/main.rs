//! Stories over real loopback sockets with the real binaries: one file each, readable by an operator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod crash;
mod flush_after_return;
mod goodbye_and_restart;
mod refused_mail_is_kept;
mod silence;
mod updates;
