//! How the database file is found, locked, opened and checked to be safe for mail.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;

use super::error::OpenError;

/// How long a connection waits for another one of this process, which holds the file only while a checkpoint ends.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements kept per connection; the engine has fewer than this in all.
const STATEMENTS_MAX: usize = 128;

/// Memory for pages of the writing connection, KiB. With SQLite's own 2 MiB the pages of one group of messages do not fit,
/// and each commit gives its memory back to the system only to ask for it again.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// Reading of `PRAGMA auto_vacuum` for INCREMENTAL: the file knows of each page who refers to it, so that pages at its end
/// can be moved into free ones.
const AUTO_VACUUM_INCREMENTAL: i64 = 2;

/// Pages of 4 KiB up to which an older file is rebuilt at the start: 256 MiB, some seconds.
const REBUILT_PAGES_MAX: i64 = 65_536;

/// Reading of `PRAGMA synchronous` for FULL: each commit is synced before it returns.
const SYNCHRONOUS_FULL: i64 = 2;

/// A path with something appended to its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the file if it is missing, for its owner only. Side files of the engine inherit the mode.
pub(super) fn private_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::File { path: path.to_owned(), source })
}

/// Makes directory and file, for their owner only.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| OpenError::File { path: directory.to_owned(), source })?;
    }
    private_file(path).map(drop)
}

/// Locks the database against a second server. The lock is the kernel's and ends with the process, however it dies.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let name = beside(path, ".lock");
    let file = private_file(&name)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(errno) => Err(OpenError::File { path: name, source: errno.into() }),
    }
}

/// The connection of the writer (and of checkpoints): WAL and a sync with each commit, read back.
pub(super) fn writing(path: &Path) -> Result<Connection, OpenError> {
    let connection = configured(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let engine = |error| OpenError::engine(path, error);
    // Holds for a file that is still empty; an older one is told apart by `shrinks`.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(engine)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(engine)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(engine)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(engine)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB).map_err(engine)?;
    // What a savepoint would restore is kept in memory: beyond 64 KiB, which two messages fill, it would go to a file, with two
    // system calls for each page that is touched.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(engine)?;
    require_durable(&connection, path)?;
    Ok(connection)
}

/// Whether free pages can be given back to the system piece by piece. A file from before that was so is rebuilt once,
/// while it is small enough for that to take a moment.
///
/// # Errors
/// [`OpenError`] when the file cannot be rebuilt; nothing of it is lost then.
pub(super) fn shrinks(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let engine = |error| OpenError::engine(path, error);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(engine);
    if number("auto_vacuum")? == AUTO_VACUUM_INCREMENTAL {
        return Ok(true);
    }
    if number("page_count")? > REBUILT_PAGES_MAX {
        tracing::info!(
            database = %path.display(),
            "the file keeps its size when mail leaves; it is rebuilt at a start with less than {} MiB in it",
            REBUILT_PAGES_MAX / 256
        );
        return Ok(false);
    }
    // Where the mode changes, a rebuild in WAL mode keeps the old one.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(engine)?;
    connection.execute_batch("VACUUM").map_err(engine)?;
    Ok(number("auto_vacuum")? == AUTO_VACUUM_INCREMENTAL)
}

/// A connection that reads beside the writer.
pub(super) fn reading(path: &Path) -> Result<Connection, OpenError> {
    let connection = configured(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true).map_err(|error| OpenError::engine(path, error))?;
    Ok(connection)
}

/// A connection for a stopped server: writes nothing, and needs no log of uncommitted pages.
///
/// After a clean stop there is no log and the file is read as it stands. After a crash the log holds commits and is
/// read too; the engine then makes its index (`-shm`) beside it, and nothing else.
pub(super) fn stopped(path: &Path) -> Result<Connection, OpenError> {
    std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if has_log || is_locked(path) {
        return reading(path);
    }
    let uri = immutable_uri(path);
    configured(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Whether a server has the database open now. Asks without making a lock file.
fn is_locked(path: &Path) -> bool {
    File::open(beside(path, ".lock"))
        .is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// The path as a URI that tells the engine that nobody writes.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for c in path.to_string_lossy().chars() {
        match c {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            c => uri.push(c),
        }
    }
    uri + "?immutable=1"
}

fn configured(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let engine = |error| OpenError::engine(path, error);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(engine)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(engine)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(engine)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(engine)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Refuses an engine that would acknowledge a commit before it is on the disk.
fn require_durable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let engine = |error| OpenError::engine(path, error);
    let not_durable = |setting, found| OpenError::NotDurable { path: path.to_owned(), setting, found };
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(engine)?;
    if journal != "wal" {
        return Err(not_durable("journal_mode", journal));
    }
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(engine)?;
    if synchronous != SYNCHRONOUS_FULL {
        return Err(not_durable("synchronous", synchronous.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_engine_that_does_not_sync_each_commit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        prepare(&path).unwrap();
        let connection = writing(&path).unwrap();
        connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
        let refused = require_durable(&connection, &path).unwrap_err();
        assert!(refused.to_string().contains("synchronous is '1'"), "{refused}");
        let memory = Connection::open_in_memory().unwrap();
        assert!(matches!(require_durable(&memory, &path), Err(OpenError::NotDurable { .. })));
    }

    #[test]
    fn a_new_file_can_shrink_and_an_older_one_is_rebuilt_with_all_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new.db");
        prepare(&path).unwrap();
        let connection = writing(&path).unwrap();
        connection.execute_batch("CREATE TABLE a (x INTEGER)").unwrap();
        let mode = |connection: &Connection| -> i64 {
            connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap()
        };
        assert_eq!((shrinks(&connection, &path).unwrap(), mode(&connection)), (true, AUTO_VACUUM_INCREMENTAL));
        let path = directory.path().join("old.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7)").unwrap();
        drop(old);
        let connection = writing(&path).unwrap();
        assert_eq!(mode(&connection), 0);
        assert!(shrinks(&connection, &path).unwrap());
        drop(connection);
        let connection = writing(&path).unwrap();
        assert_eq!(mode(&connection), AUTO_VACUUM_INCREMENTAL);
        assert_eq!(connection.query_row("SELECT x FROM a", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    }

    #[test]
    fn nobody_else_may_read_the_mail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("a.db");
        prepare(&path).unwrap();
        let connection = writing(&path).unwrap();
        connection.execute_batch("CREATE TABLE a (x INTEGER)").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for name in ["", "-wal", "-shm"] {
            assert_eq!(mode(&beside(&path, name)), 0o600, "{name}");
        }
    }
}
