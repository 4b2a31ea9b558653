//! The way to the server: which socket, to which of its addresses.

mod driver;

pub(super) use driver::{Families, Route, RouteEvent};
