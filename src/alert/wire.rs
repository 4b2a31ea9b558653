//! HTTP and programs.

pub(super) mod driver;
