//! Mail for a server that is there: asked for while the sender waits (cut-through), or the sender is sent to it (defer).
//!
//! [`crossing`] judges each reply, [`deferral`] remembers who was sent away, both without I/O; `driver` holds the
//! connections.

pub mod crossing;
pub mod deferral;
pub mod driver;

pub use driver::Passages;
