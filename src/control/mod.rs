//! The operator's commands: arguments, requests over the Unix socket, and what is printed.
//!
//! `pulsemx account add ...` becomes a [`Request`], travels as one line of JSON over the control socket to the running
//! server, is carried out by [`Desk`], and comes back as a [`Reply`] that is printed as text or as JSON. Commands
//! that only look are answered from the database when no server runs.

mod account_desk;
mod alert_desk;
mod alert_print;
pub mod alert_request;
pub mod arguments;
pub mod certificate_reply;
pub mod challenge_request;
pub mod choice_arguments;
mod choice_desk;
pub mod desk;
pub mod drill_desk;
pub mod driver;
pub mod key_request;
mod line_reply;
mod mail_desk;
pub mod mail_reply;
pub mod mail_request;
mod post_desk;
pub mod post_reply;
pub mod post_request;
pub mod print;
pub mod recipient_arguments;
mod recipient_desk;
pub mod recipient_reply;
pub mod reply;
pub mod request;
mod token_desk;
mod token_print;
pub mod token_request;
mod trace_desk;
mod transfer_desk;
mod transfer_print;
pub mod transfer_reply;
pub mod transfer_request;
pub mod trust_text;
pub mod update_arguments;
mod update_desk;
mod update_print;
pub mod upload;
pub mod zone_arguments;
mod zone_desk;
mod zone_print;

pub use desk::{Desk, DirectoryKeeper, Reloads};
pub use reply::{CommandError, Reply};
pub use request::Request;
