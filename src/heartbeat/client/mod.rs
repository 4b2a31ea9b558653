//! The client's end of the heartbeats: runs beside the customer's mail server, without tokio and without state.

pub mod arguments;
pub mod cadence;
pub mod driver;
pub mod event;
pub mod report;

#[cfg(feature = "https")]
mod drill;
mod fallback;
pub mod https;
mod mail;
mod news;
mod random;
#[cfg(feature = "https")]
mod recipients;
mod route;
mod second;
mod sent;
mod service;
#[cfg(feature = "https")]
mod setup;
mod suspend;
pub mod token_file;
mod uplink;

pub use arguments::{BeatCommand, RunArguments};
pub use cadence::Client;
pub use driver::{ClientError, Options, carry_out, run, run_command};
pub use event::{ClientEvent, ClientKeys, ClientSettings, MailReport};
pub use fallback::Way;
