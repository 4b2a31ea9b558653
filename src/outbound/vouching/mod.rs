//! Looks up what was found of a sender, and waits a little where that is still being found out.

pub mod driver;

pub use driver::Vouching;
