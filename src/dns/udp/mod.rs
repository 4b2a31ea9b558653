//! Answers over UDP: batches in, batches out.

pub mod driver;
