//! Datagrams by the batch: many with one system call.

pub mod driver;
