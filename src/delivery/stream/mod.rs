//! One socket to a primary, plain or encrypted, whose replies arrive in strict form.

pub mod driver;

pub use driver::{StreamError, WireStream};
