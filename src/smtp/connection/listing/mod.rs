//! Whether a list of bad senders has the peer.

pub(in crate::smtp) mod driver;
