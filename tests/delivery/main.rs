//! Delivery over real loopback sockets against a primary that answers as the test says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests may fail loudly"
)]

mod breaker;
mod chaos;
mod flush;
mod handing;
mod lanes;
mod proof;
mod replies;
mod standstill;
mod support;
mod through;
mod wire;
