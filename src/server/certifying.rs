//! Finds the certificate at the start, and has it renewed by ACME if that is configured.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::alert::{Event, Fact, Outbox};
use crate::base::DomainName;
use crate::certificate::CertificateHandle;
use crate::certificate::acme::driver::{ChallengePlace, Issuer, Settings, Standing};
use crate::certificate::driver::{CertificateError, load_issued_or_generate, load_or_generate};
use crate::config::Config;
use crate::dns::owner::Owner;
use crate::dns::{ChallengeDesk, Dns};

/// The certificate to begin with.
pub(super) fn load(config: &Config) -> Result<CertificateHandle, CertificateError> {
    if config.acme.is_some() {
        return load_issued_or_generate(&config.data_dir, &config.hostname);
    }
    let files = config.tls.as_ref().map(|files| (files.cert.as_path(), files.key.as_path()));
    load_or_generate(&config.data_dir, &config.hostname, files.map(|(cert, _)| cert), files.map(|(_, key)| key))
}

/// Has the certificate renewed until `shutdown`; nothing unless `tls.acme` is on.
pub(super) fn start(
    config: &Config,
    challenges: &Arc<ChallengeDesk>,
    certificate: &CertificateHandle,
    shutdown: &CancellationToken,
) -> Option<Arc<Issuer>> {
    let acme = config.acme.as_ref()?;
    let settings = Settings {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        trusted: acme.ca_file.clone(),
        folder: config.data_dir.join("tls"),
        names: acme.names.clone(),
    };
    let place = Arc::clone(challenges) as Arc<dyn ChallengePlace>;
    Some(Issuer::start(settings, place, certificate.clone(), shutdown.clone()))
}

/// TLS of the pages: a handshake for a dynamic name is refused, whoever it follows now.
pub(super) fn for_pages(certificate: &CertificateHandle, dns: Option<Arc<Dns>>) -> Arc<rustls::ServerConfig> {
    let Some(dns) = dns else { return certificate.server_config() };
    let is_dynamic =
        move |name: &str| DomainName::parse(name).is_ok_and(|name| dns.account_of(&Owner::of_domain(&name)).is_some());
    certificate.server_config_except(Arc::new(is_dynamic)).unwrap_or_else(|error| {
        tracing::error!(%error, "handshakes for dynamic names are not refused");
        certificate.server_config()
    })
}

/// Tells the operator when there is no new certificate, until `shutdown`.
pub(super) async fn tell(issuer: Arc<Issuer>, outbox: Outbox, shutdown: CancellationToken) {
    let mut watched = issuer.watch();
    let mut told = false;
    loop {
        let standing = watched.borrow_and_update().clone();
        if let Some(fact) = news(&standing, told) {
            told = standing.error.is_some();
            outbox.raise_soon(Event::of_service(fact));
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = watched.changed() => if changed.is_err() { return },
        }
    }
}

/// What there is to tell: the first failure, and its end.
fn news(standing: &Standing, was_told: bool) -> Option<Fact> {
    match &standing.error {
        Some(error) if !was_told => Some(Fact::Certificate { reason: error.clone(), not_after: standing.not_after }),
        None if was_told => Some(Fact::CertificateWell { not_after: standing.not_after }),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_and_so_is_its_end() {
        let (well, ill) = (Standing::default(), Standing { error: Some("no".to_owned()), ..Standing::default() });
        assert_eq!(news(&well, false), None);
        assert!(matches!(news(&ill, false), Some(Fact::Certificate { .. })));
        assert_eq!(news(&ill, true), None);
        assert!(matches!(news(&well, true), Some(Fact::CertificateWell { .. })));
    }
}
