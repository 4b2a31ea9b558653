//! The configuration: declared once in [`options`], read from file and environment in `file`, checked into a
//! [`Config`] that every room takes its own settings from.

pub mod acme;
pub mod checked;
pub mod example;
pub mod file;
pub mod names;
pub mod options;
pub mod outbound;

pub use acme::AcmeConfig;
pub use checked::{Config, TlsFiles};
pub use file::{ConfigError, Written};
pub use names::NamesConfig;
pub use options::{Kind, OPTIONS, OptionSpec, Since};
pub use outbound::{OutboundConfig, SigningConfig, SmartHostConfig};
