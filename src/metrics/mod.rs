//! Figures for Prometheus, on a listener of their own.
//!
//! Most are read from the rooms when somebody asks ([`Figures`]); what can only be seen while it happens is counted as
//! it comes ([`Watched`]). No figure bears the name of a customer. Dashboard and alert rules: `deploy/`.

pub mod driver;
pub mod figures;
pub mod watched;

pub use figures::{Figures, FiguresSource, page};
pub use watched::Watched;
