//! Where a stored message goes, in what order, when again, and what the primary's reply means.
//!
//! The plain values decide (`target`, `route`, `order`, `schedule`, `outcome`, `dialogue`, `content`, `wire`);
//! the drivers move octets: `stream` one socket, `opening` and `connection` one SMTP connection, `flush` one account,
//! `board` what all accounts share, `driver` all of them. Between a claim and its report a message is in one task
//! only; what a task drops without a report returns to the queue at the next start.

pub mod alarm;
pub mod board;
pub mod call_out;
pub mod connection;
pub mod content;
pub mod dialogue;
pub mod dress;
pub mod driver;
pub mod flush;
pub mod handing;
pub mod identity;
pub mod opening;
pub mod order;
pub mod outcome;
pub mod route;
pub mod schedule;
pub mod settings;
pub mod stream;
pub mod target;
pub mod through;
pub mod tls;
pub mod view;
pub mod wire;

pub use alarm::Alarm;
pub use driver::{Deliveries, PinKeeper, RecipientWitness};
pub use schedule::RetryTimes;
pub use settings::{AfterRefusal, Passing, Settings, Timeouts};
pub use view::{FlushSummary, FlushView, Flushes, MailPaths, StrangeKey};
