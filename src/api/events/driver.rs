//! `GET /events`: the account's state at once, then each time something happens, over the bells of the open pages.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::api::caller::Caller;
use crate::api::driver::Api;
use crate::api::problem::Fault;
use crate::web::live::driver::Seat;

/// News that come within this time are sent as one.
const JOIN_NEWS_WITHIN: Duration = Duration::from_millis(50);
/// Without news the state is sent this often: newer beats, and a token that was revoked ends its stream.
const TICK: Duration = Duration::from_secs(15);

/// One open stream.
struct Watcher {
    api: Arc<Api>,
    caller: Caller,
    seat: Seat,
    is_first: bool,
}

/// `GET /events`
pub(in crate::api) async fn stream(State(api): State<Arc<Api>>, caller: Caller) -> Result<Response, Fault> {
    let seat = api.hub.seat(caller.account.id).ok_or(Fault::Busy)?;
    let watcher = Watcher { api, caller, seat, is_first: true };
    let news = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok(Sse::new(news).keep_alive(KeepAlive::new().interval(TICK)).into_response())
}

impl Watcher {
    /// The end comes with the service's, the account's or the token's own.
    async fn next(&mut self) -> Option<Event> {
        if !self.is_first {
            tokio::select! {
                () = self.api.shutdown.cancelled() => return None,
                heard = self.seat.bell.changed() => {
                    heard.ok()?;
                    tokio::time::sleep(JOIN_NEWS_WITHIN).await;
                    self.seat.bell.mark_unchanged();
                }
                () = tokio::time::sleep(TICK) => {}
            }
        }
        self.is_first = false;
        let now = self.api.clock.wall();
        let token = self.api.running().ok()?.tokens.find(self.caller.account.id, &self.caller.token.id).ok()?;
        let account = self.api.desk.directory.load().account(self.caller.account.id).cloned()?;
        // A new secret ends the streams of the one before it, once that is not good any more.
        let is_same = token.verifier == self.caller.token.verifier
            || token.old.is_some_and(|(image, until)| image == self.caller.token.verifier && until > now);
        if token.is_expired(now) || !is_same {
            return None;
        }
        // A store that fails for a moment ends the stream; the client comes again by itself.
        let shown = self.api.account_shown(&account, now).await.ok()?;
        Event::default().event("account").json_data(&shown).ok()
    }
}
