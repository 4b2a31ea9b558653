//! What the world sees of a customer's domain, what should stand there, and how it is mended. Changes nothing.
//!
//! ```text
//! driver: questions to a resolver, a call at port 25 -> Facts -> judge -> Findings -> words, in both languages
//! ```
//!
//! Only [`driver`] asks anybody. What strangers answer is cut and cleaned there, and no record that is offered for copying
//! holds anything of theirs.

pub mod driver;
pub mod facts;
pub mod judge;
pub mod look;
pub mod matter;
mod policy;
pub mod propose;
pub mod standing;
pub mod standing_words;
pub mod words;
pub mod zone;

#[cfg(test)]
mod judge_tests;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod well_domain;

pub use driver::{Depth, Surveyor};
pub use facts::{Expected, Facts};
pub use judge::judge;
pub use look::Look;
pub use matter::{Finding, Level, Matter, worst};
