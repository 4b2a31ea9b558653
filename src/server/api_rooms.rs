//! Hands the API what it needs.

use std::sync::Arc;

use super::assemble::StartError;
use crate::account::ApiTokens;
use crate::store::sqlite::SqliteStore;

/// Reads the tokens of the API.
///
/// # Errors
/// [`StartError::Read`].
pub(super) async fn load_tokens(store: &Arc<SqliteStore>) -> Result<Arc<ApiTokens>, StartError> {
    let loaded = ApiTokens::load(Arc::clone(store) as _).await;
    loaded.map(Arc::new).map_err(|error| StartError::Read(error.to_string()))
}
