//! The client's end of the heartbeats: runs beside the customer's mail server, without tokio and without state.

pub mod arguments;
pub mod cadence;
pub mod driver;
pub mod report;

mod mail;
mod random;
mod route;

pub use arguments::{BeatCommand, RunArguments};
pub use cadence::{Client, ClientEvent, ClientKeys, ClientSettings, MailReport};
pub use driver::{ClientError, Options, carry_out, run, run_command};
