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

mod activation;
mod alerts;
mod beat_over_http;
mod broken_primary;
mod commands;
mod crash;
mod flush_after_return;
mod full_disk;
mod goodbye_and_restart;
mod handing_on;
mod holiday;
mod joining;
mod machines;
mod metrics;
mod own_outage;
mod recipients;
mod refused_mail_is_kept;
mod renewed_key;
mod reports;
mod silence;
mod through;
mod udp_is_blocked;
mod updates;
