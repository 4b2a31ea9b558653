//! Keys and certificates for TLS: what we show on port 25 and on the page, and how it is replaced while in use.
//!
//! Without configured files the service shows a self-signed certificate: senders on port 25 do not check names
//! unless told to (RFC 7435 §3), and an encrypted session with an unknown party beats a readable one. With `tls.acme` an
//! authority's certificate takes its place as soon as there is one (`acme`).

pub mod acme;
pub mod driver;
pub mod facts;
pub mod handle;

pub use facts::{CertificateFacts, FactsError};
pub use handle::{CertificateHandle, InstallError};
