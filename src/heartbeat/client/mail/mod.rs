//! The mail server that the client speaks for: does it greet, which key does it show, where is it?

mod driver;

pub(super) use driver::{MailLook, watch};
