//! Joins the rooms, starts them in order and stops them in the opposite one. The only place that knows them all.

mod alerting;
mod api_rooms;
pub mod assemble;
mod beat_notes;
mod certifying;
pub mod data_dir;
pub mod doctor_command;
pub mod drill_command;
mod drilling;
mod figures;
mod files;
mod greeter;
mod health;
pub mod inherited;
pub mod keeper;
pub mod listen;
mod looking;
pub mod maintain;
mod names;
mod post_office;
mod postroom;
pub mod propose_command;
pub mod reload;
mod room_settings;
pub mod run;
mod shared;
mod sockets;
pub mod stopped;
mod voucher;

pub use assemble::{Extras, RunningServer, StartError, start};
pub use run::serve;
