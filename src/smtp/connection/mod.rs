//! One connection on its way through a session.

pub(in crate::smtp) mod driver;
pub(in crate::smtp) mod listing;
pub(in crate::smtp) mod welcome;
