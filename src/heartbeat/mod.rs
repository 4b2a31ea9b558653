//! The signed datagrams between a customer's machine and us, both ends (docs/PROTOCOL.md).
//!
//! [`token`] holds the keys, [`datagram`] the layouts, [`tag`] the MACs and signatures, [`window`] tells a replay
//! from a late arrival. [`client`] is what runs beside the customer's mail server, `server` what runs here.

pub mod client;
pub mod datagram;
#[cfg(feature = "server")]
pub mod server;
pub mod tag;
pub mod token;
pub mod window;

pub use token::{NewToken, Token, TokenError};
