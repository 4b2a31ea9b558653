//! Our own certificates by ACME, as used.

use std::path::PathBuf;

use super::checked::Reader;
use super::file::{ConfigError, texts};
use super::names::NamesConfig;
use crate::base::{DomainName, Mailbox};

/// The options `tls.acme` and those beside it. Present only if it is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcmeConfig {
    /// `tls.directory`.
    pub directory: String,
    /// `tls.contact`.
    pub contact: Option<String>,
    /// `tls.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// The names in the certificate: `hostname`, then those of `tls.names`.
    pub names: Vec<DomainName>,
}

/// Names in one certificate, at most: authorities take 100.
const NAMES_MAX: usize = 50;

fn contradiction(words: String) -> ConfigError {
    ConfigError::Contradiction(words)
}

impl AcmeConfig {
    /// `None` while it is off.
    pub(super) fn check(
        read: &Reader<'_>,
        hostname: &DomainName,
        names_served: Option<&NamesConfig>,
    ) -> Result<Option<Self>, ConfigError> {
        if read.text("tls.acme").as_deref() != Some("on") {
            return Ok(None);
        }
        if read.text("tls.cert").is_some() {
            return Err(contradiction("tls.acme is on and tls.cert is set; leave one of them out".to_owned()));
        }
        if names_served.is_none() {
            return Err(contradiction(
                "tls.acme answers the authority from our own zone, and there is none; set dns.zone".to_owned(),
            ));
        }
        let contact = read.text("tls.contact").filter(|text| !text.is_empty());
        if let Some(text) = contact.as_ref().filter(|text| Mailbox::parse(text, false).is_err()) {
            return Err(contradiction(format!("tls.contact: '{text}' is no mailbox; write it as admin@example.org")));
        }
        let directory = read.text("tls.directory").unwrap_or_default();
        if !directory.starts_with("https://") {
            return Err(contradiction(format!("tls.directory: '{directory}' does not begin with https://")));
        }
        let value = read.value("tls.names").ok_or_else(|| Reader::fault("tls.names"))?;
        let mut names = vec![hostname.clone()];
        for text in texts(&value).ok_or_else(|| Reader::fault("tls.names"))? {
            let name = DomainName::parse(text);
            let name = name.map_err(|error| contradiction(format!("tls.names: '{text}': {error}")))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > NAMES_MAX {
            return Err(contradiction(format!("tls.names: {} names are more than {NAMES_MAX}", names.len())));
        }
        let ca_file = read.text("tls.ca_file").filter(|text| !text.is_empty()).map(PathBuf::from);
        Ok(Some(Self { directory, contact, ca_file, names }))
    }
}
