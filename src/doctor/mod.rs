//! What is wrong with this installation, why it matters, and how to mend it. Changes nothing.

pub mod check;
pub mod domain;
pub mod host;
pub mod mail;
pub mod stored;

pub use check::{Finding, Level, worst};

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::DomainName;

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our public name.
    pub hostname: DomainName,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// SMTP listeners.
    pub smtp_listen: Vec<SocketAddr>,
    /// Web listeners.
    pub web_listen: Vec<SocketAddr>,
}

/// Looks at everything, in the order in which things build on one another.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = host::examine(&settings.data_dir);
    findings.extend(stored::examine(settings).await);
    findings.extend(mail::examine(settings).await);
    findings
}
