//! What a sender may rely on, section by section of the RFCs, over real sockets.
//!
//! Runs against a server of its own on loopback. `PULSEMX_CONFORMANCE_PEER=host:port` points the tests that look at
//! replies only at another server; `PULSEMX_CONFORMANCE_RECIPIENT` names a mailbox that it takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

// The fakes are also compiled into the library's unit tests and name the rooms from the root of the crate.
use pulsemx::{account, base, liveness, recipient, smtp, spool};

mod admission;
mod limits;
mod rfc1870;
mod rfc1985;
mod rfc2034;
mod rfc2920;
mod rfc3030;
mod rfc3207;
mod rfc3461;
mod rfc3848;
mod rfc4954;
mod rfc5321;
mod rfc6152;
mod rfc6531;
mod rfc8689;
mod rfc9422;
mod support;
