//! Does the file still say what was written into it? For `pulsemx doctor`.

use super::SqliteStore;
use crate::spool::SpoolError;

/// Faults named at most; the first few say enough.
const FAULTS_MAX: usize = 10;

impl SqliteStore {
    /// SQLite's quick check: pages, rows and constraints, without reading every index entry. Empty when all is well.
    /// Reads the whole file.
    ///
    /// # Errors
    /// [`SpoolError::Engine`] when the file cannot be read at all.
    pub async fn integrity(&self) -> Result<Vec<String>, SpoolError> {
        self.read(|connection| {
            let mut question = connection.prepare("PRAGMA quick_check(10)")?;
            let words = question.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(words.into_iter().filter(|word| word != "ok").take(FAULTS_MAX).collect())
        })
        .await
    }
}
