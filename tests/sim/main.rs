//! Heartbeats and liveness in virtual time: real client machines, a network that loses, delays, copies and forges,
//! the server's table of paths and the board of lines. Every failure prints its seed.
#![cfg(feature = "server")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod arithmetic;
mod attack;
mod binary;
mod codec;
mod flood;
mod fuzz;
mod keys;
mod loopback;
mod machines;
mod masses;
mod movement;
mod outage;
mod paths;
mod plain;
mod protocol;
mod reports;
mod restart;
mod world;
