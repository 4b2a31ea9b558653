//! The fire drill: does the backup work? An outage of one account is played through with a real message.
//!
//! ```text
//! look at the public DNS -> cut the mail path -> a message through our own port 25 -> it is held -> mend the path -> identity, delivery -> one line
//! ```
//!
//! [`machine`] decides what comes next and how it ends, [`docket`] who may begin, both without I/O; `driver` does it.
//! Heartbeats, the state of the line and the name server know nothing of it, so no sender is led to another place; mail of
//! others that comes meanwhile waits a few seconds in the spool. The cut is in memory and ends by itself: neither a crash nor a restart
//! leaves an account cut off.

pub mod docket;
pub mod driver;
pub mod letter;
pub mod machine;
pub mod names;
pub mod record;
pub mod shown;
pub mod store;
pub mod words;

pub use docket::Refusal;
pub use driver::{Drills, Rooms, Settings};
pub use machine::CUT_MAX;
pub use names::{Judgement, NamesSeen};
pub use record::{End, Gate, Reached, Record, Step};
pub use store::{DrillError, DrillStore};
