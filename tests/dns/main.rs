//! Names as the world sees them: the real server and client, questions over real sockets.
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

mod amendments;
mod ask;
mod families;
mod states;
mod transfers;
mod transport;
mod updates;
mod zones;
