//! How requests reach the authority.

pub(super) mod driver;
