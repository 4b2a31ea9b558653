//! From beats and silence to a state: is this mail server there?
//!
//! A [`Machine`] decides for one endpoint, the [`Board`] holds all of them with their deadlines, `driver` turns the
//! clock. Each change becomes a [`Transition`]: written once to the [`TransitionLog`], then
//! read by everybody else.

pub mod board;
pub mod driver;
pub mod machine;
mod recent;
mod rows;
pub mod transition;
pub mod view;

pub use board::Board;
pub use driver::Liveness;
pub use machine::{Beat, Machine, Output, Settings};
pub use transition::{
    AddressChange, Cause, HistoryRow, LineState, LogError, Transition, TransitionLog, WatchedEndpoint,
};
pub use view::{LineEvent, LineView, Lines};
