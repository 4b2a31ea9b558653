//! The one thread that writes: it joins all waiting operations into one commit, so that a sync is paid once.
//!
//! A lone operation never waits for company: the group is what has arrived while the last commit was synced.
//!
//! **Two durabilities.** A group with mail or changes of accounts is committed with `synchronous=FULL`; one of claims
//! and reports alone with `NORMAL`, which survives the death of the process. What was committed that way is synced at
//! the latest [`LAZY_MAX`] later, by a commit of one row with `FULL`: cheaper than a checkpoint, which would copy pages
//! on this thread. A sync covers the whole log file and a commit in the log counts only if everything before it is
//! intact (checksums are chained), so a synced commit vouches for all unsynced ones before it. That is why pieces of
//! content may be written lazily ahead of their message.
//!
//! **A failed sync.** The kernel may drop the pages it could not write and report success the next time. So after
//! such a failure the log is never extended: the connection is closed, a new one copies the log into the database and
//! begins an empty log, and until that has worked nothing is acknowledged. Messages whose pieces were written before
//! the failure are refused (the sender comes again).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::checkpoint::Gate;
use super::error::{WriteFailure, describe, is_doubtful};
use super::job::{Ahead, Call, Durability, Job, Terms, Work};
use super::open;
use super::usage::{UsageChanges, UsageTable};
use crate::base::{Clock, Moment};

/// Operations that may wait at once; senders beyond wait in their own task. Sixteen groups.
pub(super) const WAITING_MAX: usize = 4096;
/// Operations in one commit, at most: beyond this a larger group gains nothing (measured 64 to 256 per commit).
const GROUP_MAX: usize = 256;
/// Octets of content in one commit after which no further operation joins, so that large bodies do not hold up others.
const GROUP_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// Delivered messages whose content is removed at once; fewer when there is nothing else to do.
const FINISHED_MAX: usize = 128;
/// A commit without a sync is followed by a synced one within this time.
pub(super) const LAZY_MAX: Duration = Duration::from_millis(50);

/// How much was written since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Transactions committed.
    pub commits: u64,
    /// Those of them that were synced before they were answered.
    pub synced_commits: u64,
    /// Messages stored.
    pub messages: u64,
    /// Recipients that a primary took.
    pub delivered: u64,
    /// Recipients that are tried again, once an attempt.
    pub deferred: u64,
    /// Recipients that a primary refused for good.
    pub refused: u64,
}

/// The same, while it changes.
#[derive(Default, Debug)]
pub(super) struct Counters {
    commits: AtomicU64,
    synced_commits: AtomicU64,
    messages: AtomicU64,
    delivered: AtomicU64,
    deferred: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Statistics {
        Statistics {
            commits: self.commits.load(Ordering::Relaxed),
            synced_commits: self.synced_commits.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// These reports are in the database.
    pub(super) fn settled(&self, [delivered, deferred, refused]: [u64; 3]) {
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.deferred.fetch_add(deferred, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }
}

enum Order {
    Do(Box<dyn Job>),
    Stop,
}

/// The handle by which operations reach the thread.
pub(super) struct Writer {
    queue: Sender<Order>,
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread on an open connection. Claims are numbered on from `last_claim`.
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        usage: Arc<UsageTable>,
        counters: Arc<Counters>,
        gate: Arc<Gate>,
        last_claim: i64,
    ) -> std::io::Result<Self> {
        let (queue, orders) = channel();
        let desk = Desk {
            path,
            connection: Some(connection),
            is_synchronous: true,
            unsynced_since: None,
            ahead: Ahead::default(),
            claims: last_claim,
            finished: Vec::new(),
            usage,
            counters,
            gate,
            clock: Clock,
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || desk.work(&orders))?;
        Ok(Self { queue, places: Arc::new(Semaphore::new(WAITING_MAX)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues an operation and waits until its group is committed.
    pub(super) async fn submit<T, E, F>(&self, terms: Terms, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteFailure> + Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| WriteFailure::Closed)?;
        let (caller, answer) = oneshot::channel();
        let call = Call { terms, operation: Some(operation), result: None, caller, _place: place };
        self.queue.send(Order::Do(Box::new(call))).map_err(|_| WriteFailure::Closed)?;
        answer.await.unwrap_or_else(|_| {
            Err(WriteFailure::Unknown("the store was closed before the commit was answered".to_owned()).into())
        })
    }

    /// Lets what was queued be committed and synced, then ends the thread.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.queue.send(Order::Stop);
            if thread.join().is_err() {
                tracing::error!("the thread that writes the store ended badly");
            }
        }
    }
}

/// Runs one operation in a savepoint; false when it was undone.
fn run_apart(job: &mut dyn Job, work: &mut Work<'_>) -> rusqlite::Result<bool> {
    let connection = work.connection;
    connection.prepare_cached("SAVEPOINT operation")?.execute([])?;
    let is_kept = job.run(work);
    if !is_kept {
        connection.prepare_cached("ROLLBACK TO operation")?.execute([])?;
    }
    connection.prepare_cached("RELEASE operation")?.execute([])?;
    Ok(is_kept)
}

/// Runs one that [looks first](Terms::looks_first); false when it said no. If the engine failed it halfway, the whole group
/// fails with it.
fn run_bare(job: &mut dyn Job, work: &mut Work<'_>) -> rusqlite::Result<bool> {
    let before = work.connection.total_changes();
    let is_kept = job.run(work);
    if is_kept || work.connection.total_changes() == before {
        return Ok(is_kept);
    }
    let halfway = "an operation failed halfway".to_owned();
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), Some(halfway)))
}

/// What the thread owns.
struct Desk {
    path: PathBuf,
    /// Absent after a failure, until a new one is sound.
    connection: Option<Connection>,
    /// Whether the connection commits with FULL now.
    is_synchronous: bool,
    /// When the oldest commit without a sync was made.
    unsynced_since: Option<Moment>,
    ahead: Ahead,
    claims: i64,
    /// See [`Work::finished`].
    finished: Vec<i64>,
    usage: Arc<UsageTable>,
    counters: Arc<Counters>,
    gate: Arc<Gate>,
    clock: Clock,
}

impl Desk {
    fn work(mut self, orders: &Receiver<Order>) {
        while let Some(first) = self.wait(orders) {
            let (group, is_last) = gather(first, orders);
            self.commit_and_answer(group);
            if self.finished.len() >= FINISHED_MAX {
                self.remove_finished();
            }
            if is_last {
                break;
            }
        }
        self.remove_finished();
        self.sync_outstanding();
    }

    /// The content of delivered messages goes. What cannot be removed now goes with the next start.
    fn remove_finished(&mut self) {
        if self.finished.is_empty() {
            return;
        }
        let finished = std::mem::take(&mut self.finished);
        let removed = self.in_transaction(false, |_, connection| {
            let mut remove = connection.prepare_cached(
                "DELETE FROM chunk WHERE message = ?1
                   AND EXISTS (SELECT 1 FROM message WHERE id = ?1 AND delivered_at IS NOT NULL)",
            )?;
            finished.iter().try_for_each(|message| remove.execute([message]).map(drop))
        });
        if let Err(failure) = removed {
            tracing::error!(%failure, "content of delivered messages could not be removed and goes with the next start");
        }
    }

    /// The next operation; syncs what is outstanding when its time has come. `None` to stop.
    fn wait(&mut self, orders: &Receiver<Order>) -> Option<Box<dyn Job>> {
        loop {
            let order = match self.unsynced_since {
                None if self.finished.is_empty() => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                None => orders.recv_timeout(LAZY_MAX),
                Some(since) => {
                    let waited = self.clock.monotonic().since(since);
                    orders.recv_timeout(LAZY_MAX.saturating_sub(waited))
                }
            };
            match order {
                Ok(Order::Do(job)) => return Some(job),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    self.remove_finished();
                    self.sync_outstanding();
                }
            }
        }
    }

    fn sync_outstanding(&mut self) {
        if self.unsynced_since.is_some() {
            let mark = |connection: &Connection| {
                connection.prepare_cached("UPDATE sync_mark SET marks = marks + 1 WHERE id = 1")?.execute([]).map(drop)
            };
            if let Err(failure) = self.in_transaction(true, |_, connection| mark(connection)) {
                tracing::error!(%failure, "claims and reports could not be synced; a power cut may repeat deliveries");
            }
        }
    }

    fn commit_and_answer(&mut self, mut group: Vec<Box<dyn Job>>) {
        let is_overdue = self.unsynced_since.is_some_and(|since| self.clock.monotonic().since(since) >= LAZY_MAX);
        let is_synced = is_overdue || group.iter().any(|job| job.terms().durability == Durability::Synced);
        let mut kept: Vec<UsageChanges> = Vec::new();
        let mut messages = 0;
        let outcome = self.in_transaction(is_synced, |desk, connection| {
            for job in &mut group {
                let mut usage = UsageChanges::default();
                let mut work = Work {
                    connection,
                    usage: &mut usage,
                    ahead: &mut desk.ahead,
                    claims: &mut desk.claims,
                    finished: &mut desk.finished,
                };
                let is_kept = if job.terms().looks_first {
                    run_bare(job.as_mut(), &mut work)?
                } else {
                    run_apart(job.as_mut(), &mut work)?
                };
                if is_kept {
                    kept.push(usage);
                    messages += u64::from(job.terms().is_message);
                }
            }
            Ok(())
        });
        match &outcome {
            Ok(()) => {
                self.usage.apply(kept.into_iter());
                self.counters.messages.fetch_add(messages, Ordering::Relaxed);
            }
            Err(failure) => {
                tracing::error!(database = %self.path.display(), operations = group.len(), %failure, "commit failed")
            }
        }
        for job in group {
            job.answer(&outcome);
        }
    }

    /// Runs `work` in one transaction. After a failure the connection is given up.
    fn in_transaction(
        &mut self,
        is_synced: bool,
        work: impl FnOnce(&mut Self, &Connection) -> rusqlite::Result<()>,
    ) -> Result<(), WriteFailure> {
        self.gate.pass();
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reopen()?,
        };
        let not_stored = |desk: &Self, error: &rusqlite::Error| WriteFailure::NotStored(describe(error, &desk.path));
        let prepared =
            self.set_synchronous(&connection, is_synced).and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"));
        if let Err(error) = prepared {
            return Err(not_stored(self, &error));
        }
        if let Err(error) = work(self, &connection) {
            // Dropping the connection rolls back whatever the engine has not rolled back by itself.
            self.ahead.doubt_all();
            return Err(not_stored(self, &error));
        }
        if connection.is_autocommit() {
            self.ahead.doubt_all();
            return Err(WriteFailure::NotStored(format!("{} rolled the group back", self.path.display())));
        }
        if let Err(error) = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            self.ahead.doubt_all();
            let is_rolled_back = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
            let text = describe(&error, &self.path);
            let is_certain = is_rolled_back && !is_doubtful(&error);
            return Err(if is_certain { WriteFailure::NotStored(text) } else { WriteFailure::Unknown(text) });
        }
        self.count_commit(is_synced);
        self.connection = Some(connection);
        Ok(())
    }

    fn count_commit(&mut self, is_synced: bool) {
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        if is_synced {
            self.counters.synced_commits.fetch_add(1, Ordering::Relaxed);
            self.unsynced_since = None;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(self.clock.monotonic());
        }
    }

    /// Must be called outside a transaction: inside one the engine ignores it.
    fn set_synchronous(&mut self, connection: &Connection, is_synced: bool) -> rusqlite::Result<()> {
        if self.is_synchronous != is_synced {
            connection.pragma_update(None, "synchronous", if is_synced { "FULL" } else { "NORMAL" })?;
            self.is_synchronous = is_synced;
        }
        Ok(())
    }

    /// A new connection over a log that begins anew; see the head of this file.
    fn reopen(&mut self) -> Result<Connection, WriteFailure> {
        let connection = open::writing(&self.path).map_err(|error| WriteFailure::NotStored(error.to_string()))?;
        let is_busy: i64 = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|error| WriteFailure::NotStored(describe(&error, &self.path)))?;
        if is_busy != 0 {
            let text = format!("{} cannot begin a new log while it is being read", self.path.display());
            return Err(WriteFailure::NotStored(text));
        }
        self.is_synchronous = true;
        self.unsynced_since = None;
        tracing::warn!(database = %self.path.display(), "database reopened after a failure");
        Ok(connection)
    }
}

/// What has arrived meanwhile, up to the size of a group. True when the thread is to end after it.
fn gather(first: Box<dyn Job>, orders: &Receiver<Order>) -> (Vec<Box<dyn Job>>, bool) {
    let mut octets = first.terms().octets;
    let mut group = vec![first];
    while group.len() < GROUP_MAX && octets < GROUP_OCTETS_MAX {
        match orders.try_recv() {
            Ok(Order::Do(job)) => {
                octets += job.terms().octets;
                group.push(job);
            }
            Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return (group, true),
            Err(TryRecvError::Empty) => break,
        }
    }
    (group, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolError;
    use crate::store::sqlite::migrate;

    struct Bench {
        writer: Writer,
        path: PathBuf,
        _directory: tempfile::TempDir,
    }

    fn bench() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        open::prepare(&path).unwrap();
        let mut connection = open::writing(&path).unwrap();
        migrate::migrate(&mut connection, &path, &["CREATE TABLE piece (octets BLOB, number INTEGER);"]).unwrap();
        let writer =
            Writer::start(path.clone(), connection, Arc::default(), Arc::default(), Arc::default(), 0).unwrap();
        Bench { writer, path, _directory: directory }
    }

    async fn write(bench: &Bench, sql: &'static str) -> Result<(), SpoolError> {
        bench.writer.submit(Terms::SYNCED, move |work| Ok(work.connection.execute_batch(sql)?)).await
    }

    fn rows(bench: &Bench) -> i64 {
        let connection = open::reading(&bench.path).unwrap();
        connection.query_row("SELECT count(*) FROM piece", [], |row| row.get(0)).unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_write_and_the_next_one_after_it_works() {
        let bench = bench();
        write(&bench, "INSERT INTO piece VALUES (NULL, 1)").await.unwrap();
        // The limit holds for this connection only: a new one finds the disk with space again.
        write(&bench, "PRAGMA max_page_count = 3").await.unwrap();
        let full = write(&bench, "INSERT INTO piece VALUES (zeroblob(1000000), 2)").await;
        assert!(full.unwrap_err().to_string().contains("full"));
        assert_eq!(rows(&bench), 1);
        write(&bench, "INSERT INTO piece VALUES (NULL, 3)").await.unwrap();
        assert_eq!(rows(&bench), 2);
    }

    #[tokio::test]
    async fn a_transaction_that_is_lost_is_told_to_everybody_in_it() {
        let bench = bench();
        let lost = write(&bench, "INSERT INTO piece VALUES (NULL, 1); ROLLBACK").await;
        assert!(lost.is_err(), "the engine forgot the row, so nobody is told that it is stored");
        assert_eq!(rows(&bench), 0);
        write(&bench, "INSERT INTO piece VALUES (NULL, 2)").await.unwrap();
        assert_eq!(rows(&bench), 1);
    }

    #[tokio::test]
    async fn pieces_from_before_a_failure_are_not_trusted() {
        let bench = bench();
        let is_doubtful = async |number| -> bool {
            let asked: Result<bool, SpoolError> =
                bench.writer.submit(Terms::LAZY, move |work| Ok(work.ahead.is_doubtful(number))).await;
            asked.unwrap()
        };
        let note = |work: &mut Work<'_>| -> Result<(), SpoolError> {
            work.ahead.note(7);
            Ok(())
        };
        let noted = bench.writer.submit(Terms::LAZY, note).await;
        noted.unwrap();
        assert!(!is_doubtful(7).await);
        assert!(write(&bench, "ROLLBACK").await.is_err());
        assert!(is_doubtful(7).await);
        assert!(!is_doubtful(8).await);
    }

    #[test]
    fn a_failed_sync_is_unknown_and_a_full_disk_is_not() {
        let error = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(is_doubtful(&error(rusqlite::ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_doubtful(&error(rusqlite::ffi::SQLITE_FULL)));
    }
}
