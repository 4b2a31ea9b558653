//! Lists of recipients that the customer's machine uploads.

pub(in crate::web) mod driver;
