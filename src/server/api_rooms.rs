//! Hands the API what it needs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use crate::account::ApiTokens;
use crate::api::{self, ApiRooms};
use crate::control::Desk;
use crate::store::sqlite::SqliteStore;
use crate::web::WebRooms;
use crate::web::public::BadgeKey;

/// Reads the tokens of the API.
///
/// # Errors
/// [`StartError::Read`].
pub(super) async fn load_tokens(store: &Arc<SqliteStore>) -> Result<Arc<ApiTokens>, StartError> {
    let loaded = ApiTokens::load(Arc::clone(store) as _).await;
    loaded.map(Arc::new).map_err(|error| StartError::Read(error.to_string()))
}

/// The pages with the API beside them.
///
/// # Errors
/// [`StartError::Read`].
pub(super) fn beside(pages: WebRooms, desk: &Arc<Desk>, shutdown: &CancellationToken) -> Result<WebRooms, StartError> {
    let rooms = ApiRooms { desk: Arc::clone(desk), stored: pages.stored.subscribe() };
    let api = api::start(rooms, shutdown).map_err(|error| StartError::Read(error.to_string()))?;
    let badge_key = desk.running.as_ref().map(|running| BadgeKey::of(&running.seal));
    Ok(WebRooms { api: Some(api), badge_key, ..pages })
}
