//! Whether a primary takes everybody.

pub mod driver;

pub use driver::part;
