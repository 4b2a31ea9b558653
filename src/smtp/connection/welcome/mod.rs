//! The moments before the greeting.

pub(in crate::smtp) mod driver;
