//! The delivery of one account: woken by events, ended when nothing is due.

pub mod breaker;
pub mod contact;
pub mod driver;
pub mod patience;
pub mod progress;
pub mod wake;

pub use breaker::{Breaker, Fare, Verdicts};
pub use driver::Worker;
pub use wake::Wake;
