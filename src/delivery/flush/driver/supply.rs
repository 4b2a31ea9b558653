//! The claimed messages of a flush, shared by its connections: fetched in portions, ahead of need.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::book::Book;
use crate::base::Clock;
use crate::delivery::board::Common;
use crate::delivery::order::{CLAIM_AGAIN_BELOW, claim_query};
use crate::delivery::route::Leg;
use crate::liveness::LineState;
use crate::spool::Claimed;

/// A claimed message, with its content where that is one piece.
pub(super) struct Ready {
    pub(super) message: Claimed,
    pub(super) head: Option<Bytes>,
}

/// See the file.
pub(super) struct Supply {
    common: Arc<Common>,
    book: Arc<Book>,
    leg: Leg,
    ready: Mutex<VecDeque<Ready>>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<Turn>,
    fetching: Mutex<Option<JoinHandle<Option<bool>>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Open,
    /// Nothing is claimed any more.
    Closed,
}

impl Supply {
    pub(super) fn new(common: Arc<Common>, book: Arc<Book>, leg: Leg) -> Self {
        Self {
            common,
            book,
            leg,
            ready: Mutex::default(),
            turn: tokio::sync::Mutex::new(Turn::Open),
            fetching: Mutex::default(),
        }
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message is at hand.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready().is_empty()
    }

    /// The next message at hand; the next portion is fetched meanwhile when few are left.
    pub(super) fn pop(self: &Arc<Self>) -> Option<Ready> {
        let (next, left) = {
            let mut ready = self.ready();
            (ready.pop_front(), ready.len())
        };
        if next.is_some() && left < CLAIM_AGAIN_BELOW {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            if fetching.as_ref().is_none_or(JoinHandle::is_finished) {
                let supply = Arc::clone(self);
                *fetching = Some(tokio::spawn(async move { supply.fetch_below(CLAIM_AGAIN_BELOW, false).await }));
            }
        }
        next
    }

    /// Back to the front: its turn comes with the next connection.
    pub(super) fn put_back(&self, ready: Ready) {
        self.ready().push_front(ready);
    }

    /// Fetches a portion unless some is at hand. `None` if the spool failed, otherwise whether there is any.
    pub(super) async fn fetch(&self, is_canary: bool) -> Option<bool> {
        self.end_fetching().await?;
        self.fetch_below(1, is_canary).await
    }

    /// Waits for the fetch that runs aside. `None` if it failed.
    async fn end_fetching(&self) -> Option<()> {
        let fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fetching {
            None => Some(()),
            Some(fetching) => match fetching.await {
                Ok(fetched) => fetched.map(drop),
                Err(fault) => match fault.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => None,
                },
            },
        }
    }

    async fn fetch_below(&self, least: usize, is_canary: bool) -> Option<bool> {
        let turn = self.turn.lock().await;
        if *turn == Turn::Closed {
            return Some(false);
        }
        if self.ready().len() >= least {
            return Some(true);
        }
        let query = claim_query(self.book.account(), &self.leg, Clock.wall(), is_canary);
        let claimed = match self.common.spool.claim(query).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(account = %self.book.account(), reason = %error, "mail could not be claimed");
                return None;
            }
        };
        if claimed.is_empty() {
            return Some(self.has_ready());
        }
        let line = self.common.lines.line(self.leg.endpoint).filter(|line| line.state == LineState::Returning);
        self.book.begin_flush(line.and_then(|line| line.last_beat));
        let heads = self.heads(&claimed).await;
        self.ready().extend(claimed.into_iter().zip(heads).map(|(message, head)| Ready { message, head }));
        Some(true)
    }

    /// The contents of messages of one piece. What cannot be read now is read again when its turn comes.
    async fn heads(&self, claimed: &[Claimed]) -> Vec<Option<Bytes>> {
        let ids = claimed.iter().filter(|message| message.chunks == 1).map(|message| message.id).collect();
        let heads = self.common.spool.heads(ids).await.unwrap_or_default();
        let mut heads = heads.into_iter();
        let head = |message: &Claimed| if message.chunks == 1 { heads.next().flatten() } else { None };
        claimed.iter().map(head).collect()
    }

    /// Ends all fetching and gives back what is at hand.
    pub(super) async fn close(&self) {
        // A failed fetch took nothing.
        let _ = self.end_fetching().await;
        *self.turn.lock().await = Turn::Closed;
        let ready = std::mem::take(&mut *self.ready());
        self.book.give_back(ready.into_iter().map(|ready| ready.message).collect());
    }
}
