//! What `status` tells of our own certificate, where an authority issues it.

use serde::{Deserialize, Serialize};

use super::print::time;
use crate::base::WallTime;
use crate::certificate::acme::driver::Standing;

/// How it stands with the certificate that is got by ACME.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateShown {
    /// End of the one that is shown.
    pub not_after: Option<WallTime>,
    /// Tries that failed since the last success.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When it is tried next, or renewed.
    pub next_at: Option<WallTime>,
    /// Certificates that were issued since the start.
    pub issued: u64,
}

impl From<Standing> for CertificateShown {
    fn from(standing: Standing) -> Self {
        let Standing { not_after, failures, error, next_at, issued } = standing;
        Self { not_after, failures, error, next_at, issued }
    }
}

/// A line of the answer to `status`.
pub(super) fn line(shown: &CertificateShown) -> String {
    let end = shown.not_after.map_or_else(|| "-".to_owned(), time);
    let next = shown.next_at.map_or_else(|| "now".to_owned(), time);
    match &shown.error {
        Some(error) => format!("valid until {end}; {} tries failed, next {next}: {error}", shown.failures),
        None => format!("valid until {end}, renewed by ACME {next}"),
    }
}
