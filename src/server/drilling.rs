//! Opens the room of fire drills.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use super::room_settings::checks_settings;
use super::shared::Shared;
use crate::base::Mailbox;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::drill::{Drills, Rooms, Settings};
use crate::survey::Surveyor;
use crate::survey::driver::Calls;

/// The message comes from who writes our own mail, or from our postmaster, and goes to the first listener for mail.
///
/// # Errors
/// [`StartError::Read`].
pub(super) async fn start(
    config: &Config,
    shared: &Shared,
    (deliveries, smtp): (&Arc<Deliveries>, &[SocketAddr]),
    shutdown: &CancellationToken,
) -> Result<Arc<Drills>, StartError> {
    let from = config.outbound.as_ref().map(|outbound| outbound.from.clone());
    let smtp = smtp.first().copied().map(Settings::reached_at);
    let settings = Settings {
        hostname: config.hostname.clone(),
        from: from.unwrap_or_else(|| Mailbox::postmaster(&config.hostname)),
        // A server without a listener for mail does not start.
        smtp: smtp.ok_or_else(|| StartError::Listen("no listener for mail, so no drill can be held".to_owned()))?,
    };
    let rooms = Rooms {
        directory: shared.directory.clone(),
        lines: Arc::clone(&shared.lines),
        spool: Arc::clone(&shared.spool),
        flushes: Arc::clone(&shared.flushes),
        paths: Arc::clone(deliveries) as _,
        store: Arc::clone(&shared.store) as _,
        pages: shared.pages.clone(),
        surveyor: surveyor(config),
    };
    Drills::start(settings, rooms, shutdown.clone()).await.map_err(|error| StartError::Read(error.to_string()))
}

/// None where no resolver can be had: drills say nothing of the DNS then.
fn surveyor(config: &Config) -> Option<Surveyor> {
    // A drill asks for names and calls nobody.
    let calls = Calls { port: 0, https_port: 0, allow_loopback: false, own_addresses: Vec::new() };
    Surveyor::new(&checks_settings(config), calls)
        .inspect_err(|error| tracing::warn!(%error, "drills do not look at the DNS"))
        .ok()
}
