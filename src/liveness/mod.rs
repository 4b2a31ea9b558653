//! From beats and silence to a state: is this mail server there?
//!
//! A [`Machine`] decides for one endpoint, the [`Board`] holds all of them with their deadlines, `driver` turns the
//! clock. The [`guard`] says when silence is our own fault, [`damping`] when a name has to keep still, [`day`] what a
//! day amounts to. Each change becomes a [`Transition`]: written once to the [`TransitionLog`], then
//! read by everybody else.

pub mod board;
pub mod damping;
pub mod day;
pub mod driver;
pub mod guard;
pub mod machine;
mod mail_host;
mod recent;
mod rows;
pub mod transition;
pub mod uplink;
pub mod view;

pub use board::Board;
pub use day::DaySummary;
pub use driver::{Condition, Liveness};
pub use guard::{Alarm, OwnOutage};
pub use machine::{Beat, Machine, Output, Settings};
pub use mail_host::{DELEGATED_PREFIX_MIN, MailHost};
pub use transition::{
    AddressChange, Cause, HistoryRow, IntervalChange, LineState, LogError, NoData, Transition, TransitionLog,
    WatchedEndpoint,
};
pub use view::{EffectiveAddresses, Families, FamilyView, HeardAt, LineEvent, LineView, Lines};
