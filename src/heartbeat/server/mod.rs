//! The server's end of the heartbeats: which datagram counts, from where, and what is said back.

pub mod driver;
pub mod event;
pub mod path;
pub mod table;

mod cookie;
mod flood;
mod limit;
mod notes;
mod replacement;
mod roster;

pub use driver::{BeatServer, BindError, bind};
pub use event::{BeatEvent, BeatKind, BeatListener, KeptKey, KeyReport, OpenedBeatKey, Standing};
pub use notes::Notes;
pub use table::{Counters, PlainVerdict, Received, Settings, Table};
