//! Connections of the way over HTTPS: they leave from the address that the user chose.

pub(super) mod driver;
