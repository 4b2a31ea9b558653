//! Connections that wait a moment for the next sender.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Place;
use crate::delivery::connection::Connection;
use crate::delivery::identity::KeyDigest;
use crate::delivery::route::Leg;

/// How long one waits: most servers close after minutes, and others may want its place.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(5);

/// Connections that wait, over all accounts.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 100;

/// Those to one server.
pub(super) const IDLE_PER_SERVER_MAX: usize = 2;

/// Messages that one connection carries.
pub(super) const MESSAGES_MAX: u32 = 100;

/// A connection to a server that proved itself on it.
pub(super) struct Line {
    pub(super) connection: Connection,
    pub(super) leg: Leg,
    /// To be pinned once it took a message, and why.
    pub(super) to_pin: Option<(KeyDigest, &'static str)>,
    /// Transactions begun.
    pub(super) count: u32,
    /// It waited for a sender: whether it is still there shows with the next reply.
    pub(super) is_reused: bool,
    /// One of all places, and one of the account's.
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) place: Place,
}

/// See the file. Each has a number by which its time runs out.
#[derive(Default)]
pub(super) struct Pool(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    lines: Vec<(u64, Box<Line>)>,
}

impl Pool {
    /// One to exactly this server, known by exactly this key.
    pub(super) fn take(&self, leg: &Leg) -> Option<Box<Line>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.lines.iter().rposition(|(_, line)| line.leg == *leg)?;
        let (_, mut line) = waiting.lines.swap_remove(place);
        line.is_reused = true;
        Some(line)
    }

    /// Keeps one; its number, or itself if there are enough.
    pub(super) fn put(&self, line: Box<Line>) -> Result<u64, Box<Line>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.lines.iter().filter(|(_, known)| known.leg.endpoint == line.leg.endpoint).count();
        if waiting.lines.len() >= IDLE_CONNECTIONS_MAX || own >= IDLE_PER_SERVER_MAX || line.count >= MESSAGES_MAX {
            return Err(line);
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.lines.push((number, line));
        Ok(number)
    }

    /// Its time is over, unless a sender had it.
    pub(super) fn expire(&self, number: u64) -> Option<Box<Line>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.lines.iter().position(|(known, _)| *known == number)?;
        Some(waiting.lines.swap_remove(place).1)
    }
}
