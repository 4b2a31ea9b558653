//! The delivery of one account: woken by events, ended when nothing is due.

pub mod contact;
pub mod driver;
pub mod patience;
pub mod progress;
pub mod wake;

pub use driver::Worker;
pub use wake::Wake;
