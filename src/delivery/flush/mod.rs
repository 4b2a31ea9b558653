//! The delivery of one account: woken by events, ended when nothing is due.

pub mod contact;
pub mod driver;
pub mod progress;
pub mod wake;

pub use driver::Common;
pub use wake::Wake;
