//! Hands the API what it needs.

use std::sync::Arc;

use axum::Router;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use crate::account::ApiTokens;
use crate::api::{self, ApiRooms};
use crate::base::AccountId;
use crate::control::Desk;
use crate::store::sqlite::SqliteStore;

/// Reads the tokens of the API.
///
/// # Errors
/// [`StartError::Read`].
pub(super) async fn load_tokens(store: &Arc<SqliteStore>) -> Result<Arc<ApiTokens>, StartError> {
    let loaded = ApiTokens::load(Arc::clone(store) as _).await;
    loaded.map(Arc::new).map_err(|error| StartError::Read(error.to_string()))
}

/// Everything below `/api`.
///
/// # Errors
/// [`StartError::Read`].
pub(super) fn serve(
    desk: &Arc<Desk>,
    stored: &broadcast::Sender<AccountId>,
    shutdown: &CancellationToken,
) -> Result<Option<Router>, StartError> {
    let rooms = ApiRooms { desk: Arc::clone(desk), stored: stored.subscribe() };
    api::start(rooms, shutdown).map(Some).map_err(|error| StartError::Read(error.to_string()))
}
