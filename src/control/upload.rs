//! Files that a command takes along to the server.

pub mod driver;
