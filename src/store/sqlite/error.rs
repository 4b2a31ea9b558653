//! What went wrong in the engine, in sentences that name the file and say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::account::AccountError;
use crate::liveness::LogError;
use crate::recipient::RecipientError;
use crate::spool::{CommitError, SpoolError};
use crate::update::UpdateError;

/// Why the store does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file cannot be made or used.
    #[error("cannot use {}: {source}; the directory must exist or be creatable and belong to the user that runs pulsemx", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server works on the same file.
    #[error("{} is in use by another pulsemx; stop that one first (`systemctl stop pulsemx`), two servers never share one database", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The schema comes from a newer version.
    #[error("{} was written by a newer pulsemx (schema {found}, this one knows {known}); install that version again or restore the copy made before the upgrade", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The schema is older and this opening may not write.
    #[error("{} has schema {found}, this pulsemx needs {known}; start the server once, it brings the file up to date", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A database of another program.
    #[error("{} is a database, but not one of pulsemx; choose another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The engine would acknowledge what is not on the disk.
    #[error("{} cannot be used safely: {setting} is '{found}'; use a local file system that supports write-ahead logging", path.display())]
    NotDurable {
        /// The database.
        path: PathBuf,
        /// Which setting of the engine.
        setting: &'static str,
        /// What it reads.
        found: String,
    },
    /// The engine failed.
    #[error("cannot open {}: {text}", path.display())]
    Engine {
        /// The database.
        path: PathBuf,
        /// What it says and what to do.
        text: String,
        /// As raised.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// An error of the engine, with what to do about it.
    pub(super) fn engine(path: &Path, source: rusqlite::Error) -> Self {
        Self::Engine { path: path.to_owned(), text: describe(&source, path), source }
    }
}

/// Why a group of writes did not happen, told to each in the group.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum WriteFailure {
    /// Certainly nothing of it was kept.
    #[error("{0}")]
    NotStored(String),
    /// It may have reached the disk.
    #[error("{0}")]
    Unknown(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store was opened for reading.
    #[error("the store was opened for reading only")]
    ReadOnly,
}

/// Something that a caller may not ask for; never the fault of the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) &'static str);

/// What the engine says, and what a person can do about it.
pub(super) fn describe(error: &rusqlite::Error, path: &Path) -> String {
    let place = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("the disk of {place} is full; free some space there ({error})"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("{place} is not writable; make it and its directory belong to the user of pulsemx ({error})")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{place} is locked by another program; close that one ({error})")
        }
        Some(ErrorCode::SystemIoFailure) => {
            format!("the disk of {place} reports an I/O error; look at the kernel's log ({error})")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{place} is damaged; keep a copy of it and restore a backup ({error})")
        }
        _ => format!("{place}: {error}"),
    }
}

/// Whether a failed COMMIT may nevertheless be on the disk: after a failed write or sync nobody knows which octets
/// of the log the disk has.
pub(super) fn is_doubtful(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
}

macro_rules! engine_errors {
    ($($error:ident => $variant:path),*) => {$(
        impl From<rusqlite::Error> for $error {
            fn from(error: rusqlite::Error) -> Self {
                $variant(Box::new(error))
            }
        }
        impl From<WriteFailure> for $error {
            fn from(failure: WriteFailure) -> Self {
                $variant(Box::new(failure))
            }
        }
        impl From<Misuse> for $error {
            fn from(misuse: Misuse) -> Self {
                $variant(Box::new(misuse))
            }
        }
    )*};
}

engine_errors!(
    AccountError => AccountError::Engine, SpoolError => SpoolError::Engine, UpdateError => UpdateError::Engine,
    RecipientError => RecipientError::Engine,    LogError => LogError
);

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        Self::NotStored(Box::new(error))
    }
}

impl From<Misuse> for CommitError {
    fn from(misuse: Misuse) -> Self {
        Self::NotStored(Box::new(misuse))
    }
}

impl From<WriteFailure> for CommitError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Unknown(_) => Self::Unknown(Box::new(failure)),
            WriteFailure::NotStored(_) | WriteFailure::Closed | WriteFailure::ReadOnly => {
                Self::NotStored(Box::new(failure))
            }
        }
    }
}
