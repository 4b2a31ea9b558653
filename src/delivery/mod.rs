//! Where a stored message goes, in what order, when again, and what the primary's reply means.

pub mod view;

pub use view::{FlushSummary, FlushView, Flushes};
