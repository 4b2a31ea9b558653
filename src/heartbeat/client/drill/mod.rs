//! `pulsemx-beat drill`: asks the backup MX for a fire drill and tells how it goes.

pub(super) mod driver;
