//! A few connections that read beside the writer, each used by one question at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::{OpenError, WriteFailure};

/// Questions that are answered at once; further ones wait for their turn.
const READERS_MAX: usize = 4;

/// How a connection of the pool is made.
pub(super) type Opening = fn(&Path) -> Result<Connection, OpenError>;

/// The pool.
pub(super) struct Readers {
    path: PathBuf,
    opening: Opening,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// A pool that begins with one connection.
    pub(super) fn open(path: &Path, opening: Opening) -> Result<Self, OpenError> {
        let first = opening(path)?;
        Ok(Self {
            path: path.to_owned(),
            opening,
            places: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// Asks a question in one read transaction: everything it reads is of one instant.
    pub(super) async fn read<T, E, F>(&self, question: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + From<WriteFailure> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| WriteFailure::Closed)?;
        let (idle, places) = (Arc::clone(&self.idle), Arc::clone(&self.places));
        let (path, opening) = (self.path.clone(), self.opening);
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let ready = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match ready {
                Some(connection) => connection,
                None => opening(&path).map_err(|error| WriteFailure::NotStored(error.to_string()))?,
            };
            let answer = match connection.unchecked_transaction() {
                Ok(snapshot) => question(&snapshot),
                Err(error) => Err(error.into()),
            };
            // A closed pool keeps none, so that the log can go with the last connection.
            if !places.is_closed() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            answer
        });
        asked
            .await
            .unwrap_or_else(|error| Err(WriteFailure::NotStored(format!("a read was broken off: {error}")).into()))
    }

    /// Ends the pool: waiting and later questions fail.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
