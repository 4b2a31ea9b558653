//! The file that holds the token: only its owner may read it, and it is replaced whole or not at all.

pub mod driver;
