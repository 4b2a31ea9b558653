//! Answers commands that only look when no server runs, from the database as it was left.

use std::sync::Arc;

use super::room_settings::public_addresses;
use crate::account::{AccountStore, DirectoryHandle};
use crate::base::Clock;
use crate::config::Config;
use crate::control::{CommandError, Desk, Reply, Request};
use crate::store::sqlite::SqliteStore;

/// Carries out `request` on the stored state.
///
/// # Errors
/// [`CommandError`] when there is no database, or the command needs a running server.
pub async fn answer(config: &Config, request: Request) -> Result<Reply, CommandError> {
    let path = config.database();
    if !path.exists() {
        return Err(CommandError::new(format!(
            "no server answers and there is no database at {}; start one with `pulsemx serve`, or name its configuration with --config",
            path.display()
        )));
    }
    let store = tokio::task::spawn_blocking(move || SqliteStore::open_read_only(&path))
        .await
        .map_err(|e| CommandError::new(e.to_string()))?
        .map_err(|e| CommandError::new(e.to_string()))?;
    let directory = store.load_directory(Clock.wall()).await?;
    let desk = Desk {
        accounts: Arc::clone(&store) as _,
        spool: Arc::clone(&store) as _,
        post: Arc::clone(&store) as _,
        verdicts: Arc::clone(&store) as _,
        refusals: Arc::clone(&store) as _,
        updates: Arc::clone(&store) as _,
        api_tokens: Arc::clone(&store) as _,
        names: Arc::clone(&store) as _,
        zone_turn: tokio::sync::Mutex::default(),
        recipients: Arc::clone(&store) as _,
        alerts: Arc::clone(&store) as _,
        log: store as _,
        directory: DirectoryHandle::new(directory),
        hostname: config.hostname.clone(),
        public_addresses: public_addresses(config),
        running: None,
    };
    desk.carry_out(request, Clock.wall()).await
}
