//! Asks the DNS for the hosts of a domain and their addresses.

pub mod driver;

pub use driver::{Lookup, NoHosts, Target};
