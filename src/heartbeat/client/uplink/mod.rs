//! One path to the server: a client machine and the route that its datagrams take.

mod driver;

pub(super) use driver::{Uplink, WAIT_MAX};
