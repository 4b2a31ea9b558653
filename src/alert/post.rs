//! The task that keeps the outbox on the disk and sends.

pub mod driver;
