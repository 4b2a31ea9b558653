//! What a person has to be told, and when: once an episode, not once an event.
//!
//! [`Policy`] decides; `driver` watches the lines and writes each notice to the log with the field `alert`,
//! where the operator's monitoring picks it up. Channels of the customers' own come later.

pub mod driver;
pub mod policy;

pub use policy::{Notice, NoticeKind, Policy, Subject};
