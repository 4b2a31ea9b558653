//! The API against its own description: a real server, every answer held to `web/openapi.json`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod fuzz;
mod mail;
mod names;
mod page;
mod schema;
mod site;
mod tokens;
