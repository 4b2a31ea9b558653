//! A zone file as the operator hands it over.

pub mod driver;

/// Its text.
#[derive(Clone, Debug)]
pub struct ZoneText(pub String);
