//! Moves committed pages from the log into the database, away from the thread that commits.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::error::{OpenError, describe};
use super::open;
use super::writer::Counters;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pages of 4 KiB in the log that are worth a checkpoint: 4 MiB, four times the engine's own habit, since the copy
/// runs beside the commits.
const PAGES_WORTH: i64 = 1024;
/// Pages in the log beyond which it has to begin anew: 64 MiB. Under a steady stream of commits a passive checkpoint
/// never catches up with the last one, so commits wait for a moment: while the few pages are copied that were written
/// during a passive checkpoint just before.
const PAGES_MAX: i64 = 16_384;
/// Looks until the log may be asked again to begin anew, after a long read was in the way: commits wait while it is
/// asked (200 ms), and once every 2 s is what they can bear.
const BLOCKED_LOOKS: u32 = 20;
/// Looks without a commit after which the log is emptied.
const QUIET_LOOKS: u32 = 20;

/// Where the writer stands aside while the log begins anew. The engine's own lock is not fair: between two groups of a
/// steady stream nobody else would ever get it.
#[derive(Default, Debug)]
pub(super) struct Gate {
    is_closed: AtomicBool,
    passage: Mutex<()>,
}

impl Gate {
    /// Waits while the gate is closed; called by the writer before each transaction.
    pub(super) fn pass(&self) {
        if self.is_closed.load(Ordering::Acquire) {
            drop(self.passage.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn closed_for<T>(&self, work: impl FnOnce() -> T) -> T {
        let _passage = self.passage.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Ordering::Release);
        let done = work();
        self.is_closed.store(false, Ordering::Release);
        done
    }
}

/// The handle of the thread.
pub(super) struct Checkpointer {
    stop: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own.
    pub(super) fn start(path: &Path, counters: Arc<Counters>, gate: Arc<Gate>) -> Result<Self, OpenError> {
        let connection = open::writing(path)?;
        // A checkpoint that cannot have the file at once is tried again at the next look.
        connection.busy_timeout(Duration::from_millis(200)).map_err(|error| OpenError::engine(path, error))?;
        let (stop, stopped) = channel();
        let name = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || look_after(&name, &connection, (&counters, &gate), &stopped))
            .map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Empties the log and ends the thread.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.stop.send(());
            if thread.join().is_err() {
                tracing::error!("the thread that checkpoints the store ended badly");
            }
        }
    }
}

/// Pages in the log, and those of them that are in the database already.
fn checkpoint(connection: &Connection, statement: &'static str) -> rusqlite::Result<(i64, i64)> {
    connection.prepare_cached(statement)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

fn look_after(path: &Path, connection: &Connection, (counters, gate): (&Counters, &Gate), stopped: &Receiver<()>) {
    let mut commits = 0;
    let mut quiet_looks = 0;
    let mut blocked_looks: u32 = 0;
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = counters.read().commits;
        quiet_looks = if now == commits { quiet_looks + 1 } else { 0 };
        commits = now;
        if quiet_looks > QUIET_LOOKS {
            continue;
        }
        match look(connection, gate, quiet_looks == QUIET_LOOKS, blocked_looks == 0) {
            Ok(Restart::Blocked) => blocked_looks = BLOCKED_LOOKS,
            Ok(Restart::Done | Restart::NotAsked) => blocked_looks = blocked_looks.saturating_sub(1),
            Err(error) => {
                tracing::warn!(database = %path.display(), error = %describe(&error, path), "checkpoint failed");
            }
        }
    }
    if let Err(error) = checkpoint(connection, TRUNCATE) {
        tracing::warn!(database = %path.display(), error = %describe(&error, path), "last checkpoint failed");
    }
}

/// What became of the request that the log begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Restart {
    NotAsked,
    Done,
    /// A read of an older state was in the way.
    Blocked,
}

fn look(connection: &Connection, gate: &Gate, is_quiet: bool, may_restart: bool) -> rusqlite::Result<Restart> {
    let (pages, done) = checkpoint(connection, LOOK)?;
    if is_quiet && pages > 0 {
        checkpoint(connection, TRUNCATE)?;
        return Ok(Restart::NotAsked);
    }
    if pages - done >= PAGES_WORTH || pages > PAGES_MAX {
        checkpoint(connection, PASSIVE)?;
    }
    if pages <= PAGES_MAX || !may_restart {
        return Ok(Restart::NotAsked);
    }
    restart(connection, gate)
}

fn restart(connection: &Connection, gate: &Gate) -> rusqlite::Result<Restart> {
    let is_busy = gate.closed_for(|| connection.prepare_cached(RESTART)?.query_row([], |row| row.get::<_, bool>(0)))?;
    Ok(if is_busy { Restart::Blocked } else { Restart::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_of_an_old_state_blocks_a_restart_and_its_end_frees_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        open::prepare(&path).unwrap();
        let writer = open::writing(&path).unwrap();
        writer.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1)").unwrap();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT b FROM a", [], |row| row.get::<_, i64>(0)).unwrap();
        writer.execute_batch("INSERT INTO a VALUES (2)").unwrap();
        let copier = open::writing(&path).unwrap();
        copier.busy_timeout(Duration::ZERO).unwrap();
        assert_eq!(restart(&copier, &Gate::default()).unwrap(), Restart::Blocked);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(restart(&copier, &Gate::default()).unwrap(), Restart::Done);
    }
}
