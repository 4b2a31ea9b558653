//! The questions that one message needs answered, and what the answers come to.

pub mod driver;
pub mod reading;
