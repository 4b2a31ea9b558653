//! News of an account as they come.

pub(super) mod driver;
