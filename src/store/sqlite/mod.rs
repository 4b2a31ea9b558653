//! The embedded engine: one SQLite file, one thread that writes, a few connections that read.
//!
//! | file | what it does |
//! |---|---|
//! | `open` | finds, locks and opens the file, and checks that a commit is a sync |
//! | `migrate` | brings the schema up to date |
//! | `writer`, `job` | join waiting operations into one commit |
//! | `checkpoint` | moves the log into the file and gives free pages back, off the commit path |
//! | `readers` | read beside the writer |
//! | `usage` | what accounts hold, in memory |
//! | the others | the SQL, a file for each subject |

mod account;
mod account_read;
mod alert;
mod api_token;
mod challenge;
mod checkpoint;
mod day;
mod drill;
mod error;
mod integrity;
mod job;
mod migrate;
mod name;
mod notice;
mod open;
mod outbound;
mod passkey;
mod people;
mod readers;
mod recipient;
mod refusal;
mod retired;
mod room;
mod row;
mod scope;
mod secondary;
mod spool;
mod spool_claim;
mod spool_intake;
mod spool_list;
mod spool_passed;
mod spool_report;
mod spool_rule;
mod spool_search;
mod transition;
mod update;
mod usage;
mod verdict;
mod writer;
mod zone_key;
mod zone_rows;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::base::ByteCount;

use checkpoint::{Checkpointer, Gate};
use error::WriteFailure;
use job::{Terms, Work};
use readers::Readers;
use room::Room;
use usage::UsageTable;
use writer::{Counters, Writer};

pub use error::OpenError;
pub use writer::Statistics;

/// Where the store is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database file; its directory is made if it is missing.
    pub path: PathBuf,
    /// Free space of the disk that mail may not take; `None` for 1 GiB or 2 % of the disk, whichever is more.
    pub reserve: Option<ByteCount>,
}

impl Settings {
    /// A store at `path` with the ordinary reserve.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path, reserve: None }
    }
}

/// The store on disk. Implements the traits of the account, liveness, spool, update, verdict, dns and alert rooms.
///
/// Reads need a tokio runtime around them (they run on its blocking threads); writes do not.
pub struct SqliteStore {
    readers: Readers,
    /// Absent when opened for reading only.
    writing: Option<Writing>,
    usage: Arc<UsageTable>,
    counters: Arc<Counters>,
    room: Room,
}

struct Writing {
    writer: Writer,
    checkpointer: Checkpointer,
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Opens or makes the database, upgrades its schema and starts its threads. Blocks meanwhile.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what to do. Nothing was changed, unless a schema step had been finished.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        let path = settings.path;
        let room = Room::new(folder_of(&path), settings.reserve);
        open::prepare(&path)?;
        let lock = open::lock(&path)?;
        let mut connection = open::writing(&path)?;
        migrate::migrate(&mut connection, &path, migrate::MIGRATIONS)?;
        let shrinks = open::shrinks(&connection, &path)?;
        let usage = Arc::new(UsageTable::default());
        usage.load(&connection).map_err(|error| OpenError::engine(&path, error))?;
        let last_claim = spool_claim::last_claim(&connection).map_err(|error| OpenError::engine(&path, error))?;
        let counters = Arc::new(Counters::default());
        let readers = Readers::open(&path, open::reading)?;
        let gate = Arc::new(Gate::default());
        let checkpointer = Checkpointer::start(&path, Arc::clone(&counters), Arc::clone(&gate), shrinks)?;
        let writer =
            Writer::start(path.clone(), connection, Arc::clone(&usage), Arc::clone(&counters), gate, last_claim)
                .map_err(|source| OpenError::File { path, source })?;
        let writing = Writing { writer, checkpointer, lock: Mutex::new(Some(lock)) };
        Ok(Arc::new(Self { readers, writing: Some(writing), usage, counters, room }))
    }

    /// Opens the database of a stopped server for commands that look. Writes nothing; every change fails.
    ///
    /// # Errors
    /// [`OpenError`], also when the schema is not exactly the one of this version.
    pub fn open_read_only(path: &Path) -> Result<Arc<Self>, OpenError> {
        let connection = open::stopped(path)?;
        migrate::require_newest(&connection, path)?;
        let usage = Arc::new(UsageTable::default());
        usage.load(&connection).map_err(|error| OpenError::engine(path, error))?;
        drop(connection);
        let readers = Readers::open(path, open::stopped)?;
        Ok(Arc::new(Self {
            readers,
            writing: None,
            usage,
            counters: Arc::new(Counters::default()),
            room: Room::new(folder_of(path), None),
        }))
    }

    /// Writes one row and syncs it, in line with everything that waits.
    ///
    /// # Errors
    /// Why nothing can be written now.
    pub async fn prove_writing(&self) -> Result<(), crate::liveness::LogError> {
        self.write(job::Terms::SYNCED, |work| {
            work.connection.prepare_cached("UPDATE sync_mark SET marks = marks + 1 WHERE id = 1")?.execute([])?;
            Ok(())
        })
        .await
    }

    /// How much was written since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Commits and syncs what was queued, moves the log into the file, ends the threads and gives up the lock.
    /// Blocks meanwhile; later calls fail or do nothing. Also done on drop.
    pub fn close(&self) {
        if let Some(writing) = &self.writing {
            writing.writer.stop();
        }
        self.readers.close();
        if let Some(writing) = &self.writing {
            writing.checkpointer.stop();
            drop(writing.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    async fn write<T, E, F>(&self, terms: Terms, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteFailure> + Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    {
        match &self.writing {
            Some(writing) => writing.writer.submit(terms, operation).await,
            None => Err(WriteFailure::ReadOnly.into()),
        }
    }

    async fn read<T, E, F>(&self, question: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + From<WriteFailure> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        self.readers.read(question).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
