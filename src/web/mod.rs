//! The customer's pages: is my mail server there, what is held for me, what became of it. And two answers for
//! machines: is the process alive, is every part of it ready.
//!
//! `view` turns what the other rooms know into plain values with finished texts, `pages` puts them into the templates
//! of `web/templates`, `live` sends the same values again when they change, `driver` serves.

mod account_export;
pub mod account_page;
mod account_words;
pub(crate) mod alert_page;
mod alert_words;
mod assets;
pub mod beat;
mod challenge;
pub(crate) mod content;
mod crowd;
mod days;
pub(crate) mod domain_pages;
mod domain_words;
mod drawing;
mod drill_pages;
mod drill_words;
pub mod driver;
mod family;
mod format;
mod handlers;
pub(crate) mod history;
pub(crate) mod live;
mod log_page;
mod looks;
pub(crate) mod pace;
mod page;
mod pages;
mod passkey;
mod passkey_page;
mod password;
pub mod public;
mod public_words;
pub mod readiness;
mod record_view;
mod request;
mod session;
pub mod settings;
mod setup_page;
mod setup_words;
pub mod sign_in;
mod sign_in_page;
mod spool_desk;
mod spool_pages;
mod spool_view;
mod spool_words;
mod token_page;
mod token_words;
mod trace_view;
mod update;
mod verdict_view;
mod view;
mod words;

pub use account_page::AccountKeeper;
pub use beat::{BeatRooms, FreshToken, TokenDesk};
pub use domain_pages::NameRooms;
pub use driver::{WebError, WebRooms, WebServer};
pub use readiness::Readiness;
pub use settings::{DemoButton, DemoControls, Settings};
pub use setup_page::JoinRooms;
