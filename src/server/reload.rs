//! Reads the configuration again while the server runs: certificates and what concerns port 25 take effect, the
//! rest is named. A configuration that is not good changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::assemble::Origin;
use super::room_settings::smtp_settings;
use super::run::configuration;
use crate::base::DomainName;
use crate::certificate::{self, CertificateHandle};
use crate::config::{Config, Written, example};
use crate::control::{CommandError, Reloads};
use crate::delivery::Deliveries;
use crate::recipient::Recipients;
use crate::smtp::driver::SmtpControls;
use crate::verdict::Checker;
use async_trait::async_trait;

/// Options that take effect without a restart, for new sessions and new handshakes.
pub const RELOADED: &[&str] = &[
    "smtp.max_size",
    "smtp.max_sessions",
    "smtp.max_sessions_per_peer",
    "smtp.max_connections_per_minute",
    "smtp.max_messages_per_minute",
    "smtp.max_recipients_per_minute",
    "smtp.greeting_pause",
    "smtp.early_talkers",
    "smtp.exempt_networks",
    "smtp.forwarders",
    "smtp.online_mode",
    "smtp.unknown_recipients",
    "smtp.postmaster",
    "spool.per_account",
    "checks.dnsbl_action",
    "checks.dnsbl_while_offline",
    "tls.cert",
    "tls.key",
];

/// See the file.
pub struct Reloader {
    path: Option<PathBuf>,
    hostname: DomainName,
    /// Every option in force since the start or the last reload that succeeded.
    in_force: Mutex<BTreeMap<String, String>>,
    rooms: ReloadedRooms,
}

/// What takes settings while it runs.
pub struct ReloadedRooms {
    /// What TLS shows.
    pub certificate: CertificateHandle,
    /// New sessions.
    pub smtp: SmtpControls,
    /// Mail for servers that are there.
    pub deliveries: Arc<Deliveries>,
    /// Recipients that nobody listed.
    pub recipients: Arc<Recipients>,
    /// Who looks at senders, if anybody does.
    pub checks: Option<Arc<Checker>>,
}

impl Reloader {
    /// For a server that was started from `origin`.
    #[must_use]
    pub fn new(origin: Origin, config: &Config, rooms: ReloadedRooms) -> Arc<Self> {
        let in_force = Mutex::new(all(&origin.written));
        Arc::new(Self { path: origin.path, hostname: config.hostname.clone(), in_force, rooms })
    }

    fn apply(&self) -> Result<Vec<String>, CommandError> {
        let refused = |e: &dyn std::fmt::Display| CommandError::new(format!("nothing was changed: {e}"));
        let (written, mut config) = configuration(self.path.as_deref()).map_err(|e| refused(&e))?;
        super::files::fit(&mut config);
        if let Some(files) = &config.tls {
            certificate::driver::reload(&self.rooms.certificate, &files.cert, &files.key).map_err(|e| refused(&e))?;
        }
        let rooms = &self.rooms;
        rooms.smtp.change(crate::smtp::Settings { hostname: self.hostname.clone(), ..smtp_settings(&config) });
        rooms.deliveries.set_online_mode(config.smtp_online_mode);
        rooms.recipients.set_without_list(config.smtp_without_list);
        if let Some(checks) = &rooms.checks {
            checks.set_forwarders(config.smtp_forwarders.clone());
        }
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.settle(&mut in_force, all(&written), &config))
    }

    /// Notes what took effect; says which changes did not.
    fn settle(
        &self,
        in_force: &mut BTreeMap<String, String>,
        written: BTreeMap<String, String>,
        config: &Config,
    ) -> Vec<String> {
        let mut notes = config.warnings.clone();
        for (key, value) in written {
            let is_same = in_force.get(&key) == Some(&value);
            let has_gone = config.tls.is_none() && key.starts_with("tls.");
            if !is_same && (!RELOADED.contains(&key.as_str()) || has_gone) {
                notes.push(format!("{key} takes effect with the next start only"));
            } else {
                in_force.insert(key, value);
            }
        }
        notes
    }
}

fn all(written: &Written) -> BTreeMap<String, String> {
    example::show(written, true).into_iter().collect()
}

#[async_trait]
impl Reloads for Reloader {
    async fn reload(&self) -> Result<Vec<String>, CommandError> {
        let applied = self.apply();
        match &applied {
            Ok(notes) => {
                tracing::info!("configuration and certificates were read again");
                for note in notes {
                    tracing::warn!("{note}");
                }
            }
            Err(error) => tracing::error!(%error, "configuration not taken"),
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_is_reloaded_exists() {
        for key in RELOADED {
            assert!(crate::config::options::find(key).is_some(), "{key}");
        }
    }
}
