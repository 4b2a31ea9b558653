//! The mail server beside the client: does it greet?

mod driver;

pub(super) use driver::watch;
