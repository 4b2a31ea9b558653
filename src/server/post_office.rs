//! Opens the post office, if the configuration names who writes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::room_settings::{checks_settings, delivery_settings};
use crate::account::DirectoryHandle;
use crate::alert::{Channel, ConfiguredChannel, MailRoute};
use crate::base::Mailbox;
use crate::config::{Config, SigningConfig, SmartHostConfig};
use crate::delivery::driver::Deliveries;
use crate::outbound::seal::Sealer;
use crate::outbound::sign::Signer;
use crate::outbound::vouching::Vouching;
use crate::outbound::{PostOffice, Rooms, Settings, SmartHost};
use crate::store::sqlite::SqliteStore;

/// Port of the hosts of a domain (RFC 5321 §4.5.4.2).
const MX_PORT: u16 = 25;

/// Starts it; does nothing where no mail of our own is to leave.
///
/// # Errors
/// A sentence with what to set.
pub(super) fn start(
    config: &Config,
    own_addresses: Vec<SocketAddr>,
    (store, directory): (Arc<SqliteStore>, DirectoryHandle),
    page: &str,
    shutdown: &CancellationToken,
) -> Result<Option<Arc<PostOffice>>, String> {
    let Some(outbound) = &config.outbound else { return Ok(None) };
    let mut delivery = delivery_settings(config, own_addresses);
    delivery.may_bear_our_name = outbound.smart_host.is_some();
    let settings = Settings {
        from: outbound.from.clone(),
        delivery,
        smart_host: outbound.smart_host.as_ref().map(smart_host).transpose()?,
        mx_port: MX_PORT,
        signer: config.signing.as_ref().map(signer).transpose()?,
        per_domain_hour: outbound.per_domain_hour,
        warn_sender_after: config.warn_sender_after,
        keep: config.spool_keep,
        digest_hour: outbound.digest_hour,
        operator: operator_addresses(config),
        page: page.to_owned(),
    };
    let rooms = Rooms { store: Arc::clone(&store) as _, spool: store as _, directory };
    let office = PostOffice::new(settings, rooms, &checks_settings(config)).map_err(|error| error.to_string())?;
    let office = Arc::new(office);
    tokio::spawn(Arc::clone(&office).run(shutdown.clone()));
    Ok(Some(office))
}

/// The mailboxes among the operator's channels.
fn operator_addresses(config: &Config) -> Vec<Mailbox> {
    let mailbox = |channel: &ConfiguredChannel| match Channel::parse(&channel.url) {
        Ok(Channel::Mail(mailbox)) => Some(mailbox),
        Ok(_) | Err(_) => None,
    };
    config.alerts_operator.iter().filter_map(mailbox).collect()
}

/// Alerts go the way of all mail of our own.
pub(super) struct AlertMail(pub(super) Arc<PostOffice>);

#[async_trait::async_trait]
impl MailRoute for AlertMail {
    async fn send_alert(&self, to: &Mailbox, subject: &str, text: &str) -> Result<(), String> {
        self.0.write_alert(to, subject, text).await
    }
}

/// Lets delivery vouch for senders towards primaries that trust us.
///
/// # Errors
/// A sentence with what to set.
pub(super) fn vouch(config: &Config, store: &Arc<SqliteStore>, deliveries: &Deliveries) -> Result<(), String> {
    let sealer = match &config.signing {
        None => None,
        Some(signing) => {
            let pem = read(&signing.key, "outbound.dkim_key")?;
            let sealer = Sealer::new(&pem, &signing.domain, &signing.selector);
            Some(sealer.map_err(|error| format!("outbound.dkim_key: {error}"))?)
        }
    };
    let (verdicts, spool) = (Arc::clone(store) as _, Arc::clone(store) as _);
    deliveries.vouch_by(Arc::new(Vouching { verdicts, spool, checks: checks_settings(config), sealer }));
    Ok(())
}

fn smart_host(config: &SmartHostConfig) -> Result<SmartHost, String> {
    let login = match &config.login {
        None => None,
        Some((user, file)) => {
            let password = read(file, "outbound.password_file")?;
            let password = String::from_utf8(password).map_err(|_| "outbound.password_file is no text".to_owned())?;
            Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
        }
    };
    Ok(SmartHost { host: config.host.clone(), port: config.port, login })
}

/// The key with which mail is signed.
///
/// # Errors
/// A sentence with what to set.
pub(super) fn signer(config: &SigningConfig) -> Result<Signer, String> {
    let pem = read(&config.key, "outbound.dkim_key")?;
    Signer::new(&pem, &config.domain, &config.selector).map_err(|error| format!("outbound.dkim_key: {error}"))
}

fn read(path: &Path, option: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{option}: {} cannot be read: {error}", path.display()))
}
