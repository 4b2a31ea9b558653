//! Moves committed pages from the log into the database and gives free ones back to the system, away from the thread that
//! commits.

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

/// Free pages from which on the file is made smaller: 16 MiB, so that an ordinary day's mail finds its room again.
const FREE_PAGES_MAX: i64 = 4_096;
/// Free pages that stay in it: 4 MiB.
const FREE_PAGES_KEPT: i64 = 1_024;
/// Pages that one step gives back: 1 MiB, moved within some milliseconds. A commit that comes meanwhile waits for that long
/// at most, and steps are made only after a look at which nothing had been committed.
const FREED_AT_ONCE: i64 = 256;

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
    pub(super) fn start(
        path: &Path,
        counters: Arc<Counters>,
        gate: Arc<Gate>,
        shrinks: bool,
    ) -> Result<Self, OpenError> {
        let connection = open::writing(path)?;
        // A checkpoint that cannot have the file at once is tried again at the next look.
        connection.busy_timeout(Duration::from_millis(200)).map_err(|error| OpenError::engine(path, error))?;
        let (stop, stopped) = channel();
        let name = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || look_after(&name, &connection, (&counters, &gate), shrinks, &stopped))
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
/// Up to [`FREED_AT_ONCE`] pages.
const VACUUM: &str = "PRAGMA incremental_vacuum(256)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

fn look_after(
    path: &Path,
    connection: &Connection,
    (counters, gate): (&Counters, &Gate),
    shrinks: bool,
    stopped: &Receiver<()>,
) {
    let mut is_shrinking = false;
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
        if shrinks && quiet_looks > 0 {
            match shrink(connection, gate, is_shrinking) {
                Ok(more) => {
                    is_shrinking = more;
                    // What was moved lies in the log, and the file ends earlier once that is copied.
                    quiet_looks = if more { 1 } else { quiet_looks };
                }
                Err(error) if is_busy(&error) => {}
                Err(error) => {
                    tracing::warn!(database = %path.display(), error = %describe(&error, path), "the file was not made smaller");
                }
            }
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

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// One step towards a smaller file, if it has many free pages or is being made smaller already. Whether there is more to
/// do.
fn shrink(connection: &Connection, gate: &Gate, is_under_way: bool) -> rusqlite::Result<bool> {
    let free: i64 = connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
    let least = if is_under_way { FREE_PAGES_KEPT } else { FREE_PAGES_MAX };
    if free <= least {
        return Ok(false);
    }
    gate.closed_for(|| {
        // Each row that is asked for moves one page.
        let mut step = connection.prepare_cached(VACUUM)?;
        let mut rows = step.query([])?;
        while rows.next()?.is_some() {}
        Ok::<(), rusqlite::Error>(())
    })?;
    Ok(free - FREED_AT_ONCE > FREE_PAGES_KEPT)
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
    fn a_step_gives_back_what_it_says_and_leaves_a_little() {
        assert!(VACUUM.ends_with(&format!("({FREED_AT_ONCE})")));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        open::prepare(&path).unwrap();
        let db = open::writing(&path).unwrap();
        db.execute_batch("CREATE TABLE a (b BLOB)").unwrap();
        for _ in 0..350 {
            db.execute("INSERT INTO a VALUES (zeroblob(65536))", []).unwrap();
        }
        let pages = |name: &str| -> i64 { db.pragma_query_value(None, name, |row| row.get(0)).unwrap() };
        assert!(!shrink(&db, &Gate::default(), false).unwrap(), "nothing is free");
        db.execute("DELETE FROM a", []).unwrap();
        let (all, free) = (pages("page_count"), pages("freelist_count"));
        assert!(free > FREE_PAGES_MAX);
        assert!(shrink(&db, &Gate::default(), false).unwrap());
        assert!((250..=FREED_AT_ONCE + 2).contains(&(all - pages("page_count"))));
        let mut steps = 0;
        while shrink(&db, &Gate::default(), true).unwrap() {
            steps += 1;
            assert!(steps < 100);
        }
        let left = pages("freelist_count");
        assert!((FREE_PAGES_KEPT - FREED_AT_ONCE..=FREE_PAGES_KEPT).contains(&left), "{left}");
        assert!(!shrink(&db, &Gate::default(), false).unwrap());
    }

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
