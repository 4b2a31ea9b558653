//! A held message as it will be handed over, for whoever may read it: a page, or a token of the API.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::account::{AccountStore, Change};
use crate::base::{AccountId, SpoolId};
use crate::spool::{RecipientRow, RecipientState, SpoolStore};

/// What is left of a download.
struct Pieces {
    spool: std::sync::Arc<dyn SpoolStore>,
    id: SpoolId,
    ordinal: u32,
    left: u64,
    /// Sent before the next piece.
    ready: Option<Bytes>,
}

impl Pieces {
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        if let Some(ready) = self.ready.take() {
            return Some((Ok(ready), self));
        }
        if self.left == 0 {
            return None;
        }
        let piece = self.spool.body_chunk(self.id, self.ordinal).await;
        self.ordinal += 1;
        match piece {
            Ok(piece) if !piece.is_empty() => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some((Ok(piece), self))
            }
            // Broken off, so that the browser sees that it is not whole.
            Ok(_) => Some((Err(std::io::Error::other("an empty piece of content")), Self { left: 0, ..self })),
            Err(error) => Some((Err(std::io::Error::other(error)), Self { left: 0, ..self })),
        }
    }
}

/// The whole message as an answer; `None` where it is not this account's or not here any more. Noted in the audit log before
/// the first octet is sent.
///
/// # Errors
/// The sentence for the log when a store failed.
pub(crate) async fn whole(
    spool: &Arc<dyn SpoolStore>,
    accounts: &dyn AccountStore,
    (account, id): (AccountId, SpoolId),
    change: Change,
) -> Result<Option<Response>, String> {
    let found = spool.show(id).await.map_err(|error| error.to_string())?;
    let is_here = |r: &RecipientRow| r.account == account && r.state != RecipientState::Delivered;
    let Some(detail) = found.filter(|detail| detail.row.recipients.iter().any(is_here)) else { return Ok(None) };
    let Ok(first) = spool.body_chunk(id, 0).await else { return Ok(None) };
    let noted = accounts.note_of(account, format!("message.download {id}"), change).await;
    noted.map_err(|error| error.to_string())?;
    let octets = detail.row.octets;
    let left = octets.saturating_sub(first.len() as u64);
    let length = detail.trace.len() as u64 + octets;
    let head = Bytes::from([detail.trace.as_ref(), first.as_ref()].concat());
    let pieces = Pieces { spool: Arc::clone(spool), id, ordinal: 1, left, ready: Some(head) };
    let headers = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.eml\"")),
        (CONTENT_LENGTH, length.to_string()),
    ];
    Ok(Some((headers, Body::from_stream(stream::unfold(pieces, Pieces::next))).into_response()))
}
