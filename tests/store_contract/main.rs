//! One suite for every storage engine: what the rooms may rely on, whoever keeps the rows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod accounts;
mod alerts;
mod api_tokens;
mod challenges;
mod crash;
mod days;
mod drills;
mod engine;
mod flush;
mod messages;
mod model;
mod names;
mod on_disk;
mod outbound;
mod people;
mod recipients;
mod refusals;
mod search;
mod transitions;
mod updates;
mod verdicts;
mod zone_keys;
