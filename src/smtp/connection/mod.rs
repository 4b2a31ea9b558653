//! One connection on its way through a session.

pub(in crate::smtp) mod driver;
