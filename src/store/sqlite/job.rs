//! One waiting write: what it does inside the group's transaction and how its caller learns the end.

use std::collections::HashSet;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::WriteFailure;
use super::usage::UsageChanges;

/// How much a write promises when it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Durability {
    /// Survives the death of the process; on the disk within 50 ms, or with the next synced commit.
    Lazy,
    /// On the disk.
    Synced,
}

/// What the writer has to know of a write before it runs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// What it promises.
    pub(super) durability: Durability,
    /// Octets of content in it, for the size of groups.
    pub(super) octets: usize,
    /// Not done when the caller has gone away before its turn: a claim that nobody will report on.
    pub(super) is_for_caller: bool,
    /// Counts as a message in the statistics.
    pub(super) is_message: bool,
    /// Looks before it writes, so that it has written nothing when it says no, and needs no savepoint: one costs as much as
    /// several statements.
    pub(super) looks_first: bool,
}

impl Terms {
    /// A write that is on the disk when it is answered.
    pub(super) const SYNCED: Self =
        Self { durability: Durability::Synced, octets: 0, is_for_caller: false, is_message: false, looks_first: false };
    /// A write that a power cut may undo.
    pub(super) const LAZY: Self =
        Self { durability: Durability::Lazy, octets: 0, is_for_caller: false, is_message: false, looks_first: false };
}

/// Messages that have pieces ahead of their commit, and whether those pieces can still be trusted.
#[derive(Default, Debug)]
pub(super) struct Ahead {
    open: HashSet<i64>,
    doubtful: HashSet<i64>,
}

impl Ahead {
    /// A piece was written for this message.
    pub(super) fn note(&mut self, message: i64) {
        self.open.insert(message);
    }

    /// The message was committed or given up.
    pub(super) fn forget(&mut self, message: i64) {
        self.open.remove(&message);
        self.doubtful.remove(&message);
    }

    /// A sync failed: what was written without one may be lost although later syncs succeed.
    pub(super) fn doubt_all(&mut self) {
        self.doubtful.extend(self.open.drain());
    }

    /// Whether pieces of this message were written since the start.
    pub(super) fn has(&self, message: i64) -> bool {
        self.open.contains(&message) || self.doubtful.contains(&message)
    }

    /// Whether pieces of this message may be lost.
    pub(super) fn is_doubtful(&self, message: i64) -> bool {
        self.doubtful.contains(&message)
    }
}

/// What an operation works with.
pub(super) struct Work<'a> {
    /// In the transaction of the group, in a savepoint of its own unless it [looks first](Terms::looks_first).
    pub(super) connection: &'a Connection,
    /// What it changes of the usages.
    pub(super) usage: &'a mut UsageChanges,
    /// See [`Ahead`].
    pub(super) ahead: &'a mut Ahead,
    /// The number of the last claim.
    pub(super) claims: &'a mut i64,
    /// Messages that were delivered to all, whose content may go: some at a time, since a page that is written for one
    /// is written for its neighbours as well. Only a hint: what goes is decided by the rows.
    pub(super) finished: &'a mut Vec<i64>,
}

/// A write of any type.
pub(super) trait Job: Send {
    /// See [`Terms`].
    fn terms(&self) -> Terms;
    /// Does it. False when what it wrote has to be undone.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Tells the caller.
    fn answer(self: Box<Self>, outcome: &Result<(), WriteFailure>);
}

/// A write with its caller.
pub(super) struct Call<T, E, F> {
    pub(super) terms: Terms,
    pub(super) operation: Option<F>,
    pub(super) result: Option<Result<T, E>>,
    pub(super) caller: oneshot::Sender<Result<T, E>>,
    /// Its place in the queue, given back with the answer.
    pub(super) _place: OwnedSemaphorePermit,
}

impl<T, E, F> Job for Call<T, E, F>
where
    T: Send,
    E: From<WriteFailure> + Send,
    F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send,
{
    fn terms(&self) -> Terms {
        self.terms
    }

    fn run(&mut self, work: &mut Work<'_>) -> bool {
        if self.terms.is_for_caller && self.caller.is_closed() {
            return false;
        }
        self.result = self.operation.take().map(|operation| operation(work));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, outcome: &Result<(), WriteFailure>) {
        let result = match (self.result, outcome) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(failure)) => Err(failure.clone().into()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(WriteFailure::NotStored("the write was not begun".to_owned()).into()),
        };
        // A caller that went away needs no answer.
        let _ = self.caller.send(result);
    }
}
