//! What a person has to be told, and when: once an episode, not once an event.
//!
//! | file | what it does |
//! |---|---|
//! | `policy` | decides whether a change of a line is worth telling |
//! | `event`, `kind`, `words` | what happened, of which kind, in German and English |
//! | `channel`, `quiet`, `store` | the ways to people, their quiet hours, what is kept of them |
//! | `dispatch` | decides what goes out through which channel, and when |
//! | `request` | an alert as the HTTP request that a service wants |
//! | `office` | lists, adds, removes and tests channels, for commands and pages |
//! | `driver` | watches the lines, writes each notice to the log and hands it on |
//! | `post` | keeps the outbox on the disk and sends |
//! | `wire` | HTTP and programs |
//!
//! State and alert are separate: the state of a line is known at once, what is told of it follows each channel's delay.

pub mod channel;
pub mod dispatch;
pub mod driver;
pub mod event;
pub mod kind;
pub mod office;
pub mod policy;
pub mod post;
pub mod quiet;
pub mod request;
pub mod store;
mod wire;
pub mod words;

pub use channel::{Channel, ChannelError, ConfiguredChannel};
pub use event::{Event, Fact};
pub use kind::{Kind, Kinds};
pub use office::{Alerts, MailRoute, Outbox, Settings};
pub use policy::{Notice, NoticeKind, Policy, Subject};
pub use store::{AlertError, AlertRows, AlertStore, ChannelRow, OutboxChange, Outgoing, Record, Terms};
pub use words::Language;
