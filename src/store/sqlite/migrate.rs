//! Brings a database to the schema of this version: forward only, each step whole or not at all.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::error::OpenError;

/// Marks a database as ours in its header (`PRAGMA application_id`): "puls" in ASCII.
const APPLICATION_ID: i64 = 0x7075_6c73;

/// Copies of databases before an upgrade, kept beside the database at most.
const COPIES_MAX: u32 = 100;

/// All steps in order. A step that was released is never changed; its place in this list is its number.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_accounts.sql"),
    include_str!("../../../migrations/0002_transitions.sql"),
    include_str!("../../../migrations/0003_spool.sql"),
    include_str!("../../../migrations/0004_days.sql"),
    include_str!("../../../migrations/0005_updates.sql"),
    include_str!("../../../migrations/0006_dsn.sql"),
    include_str!("../../../migrations/0007_leaving.sql"),
    include_str!("../../../migrations/0008_recipients.sql"),
    include_str!("../../../migrations/0009_verdicts.sql"),
    include_str!("../../../migrations/0010_names.sql"),
    include_str!("../../../migrations/0011_told.sql"),
    include_str!("../../../migrations/0012_flush.sql"),
    include_str!("../../../migrations/0013_door.sql"),
    include_str!("../../../migrations/0014_refused.sql"),
    include_str!("../../../migrations/0015_alerts.sql"),
    include_str!("../../../migrations/0016_search.sql"),
    include_str!("../../../migrations/0017_secondaries.sql"),
    include_str!("../../../migrations/0018_outbound.sql"),
    include_str!("../../../migrations/0019_online.sql"),
    include_str!("../../../migrations/0020_drill.sql"),
    include_str!("../../../migrations/0021_call_out.sql"),
    include_str!("../../../migrations/0022_update_keys.sql"),
    include_str!("../../../migrations/0023_people.sql"),
    include_str!("../../../migrations/0024_challenges.sql"),
    include_str!("../../../migrations/0025_api_tokens.sql"),
    include_str!("../../../migrations/0026_dnssec.sql"),
    include_str!("../../../migrations/0027_passkeys.sql"),
];

/// The schema that `steps` lead to.
fn newest(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// The schema of the database, checked to be ours and not newer than `steps`. Zero for an empty file.
fn version(connection: &Connection, path: &Path, steps: &[&str]) -> Result<i64, OpenError> {
    let engine = |error| OpenError::engine(path, error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(engine);
    let found = number("user_version")?;
    let application = number("application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(engine)?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if found > newest(steps) {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: newest(steps) });
    }
    Ok(found)
}

/// Refuses a database that is not exactly at this version's schema; for openings that never write.
pub(super) fn require_newest(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(connection, path, MIGRATIONS)?;
    let known = newest(MIGRATIONS);
    if found < known { Err(OpenError::Older { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Applies the steps that are missing. A database that has something in it is copied first.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), OpenError> {
    let found = version(connection, path, steps)?;
    if found == newest(steps) {
        return Ok(());
    }
    if found > 0 {
        let copy = copy_before(connection, path, found)?;
        tracing::info!(database = %path.display(), copy = %copy.display(), schema = found, "database copied before its upgrade");
    }
    for (step, number) in steps.iter().zip(1i64..).skip_while(|(_, number)| *number <= found) {
        apply(connection, step, number).map_err(|error| OpenError::engine(path, error))?;
        tracing::info!(database = %path.display(), schema = number, "schema brought up to date");
    }
    Ok(())
}

fn apply(connection: &mut Connection, step: &str, number: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

/// Writes a whole copy to the first free name beside the database.
fn copy_before(connection: &Connection, path: &Path, found: i64) -> Result<PathBuf, OpenError> {
    let name_of = |place: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".schema-{found}-copy-{place}"));
        PathBuf::from(name)
    };
    let free = (1..=COPIES_MAX).map(name_of).find(|name| !name.exists()).unwrap_or_else(|| name_of(COPIES_MAX));
    let file = super::open::private_file(&free)?;
    let text = free.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [&*text]).map_err(|error| OpenError::engine(&free, error))?;
    file.sync_all().map_err(|source| OpenError::File { path: free.clone(), source })?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_database_is_copied_before_it_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pulsemx.db");
        let mut connection = Connection::open(&path).unwrap();
        let first = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);";
        migrate(&mut connection, &path, &[first]).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing to copy yet");
        migrate(&mut connection, &path, &[first, "DROP TABLE a;"]).unwrap();
        let copy = Connection::open(directory.path().join("pulsemx.db.schema-1-copy-1")).unwrap();
        assert_eq!(copy.query_row("SELECT x FROM a", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        assert_eq!(version(&connection, &path, &["", ""]).unwrap(), 2);
    }

    #[test]
    fn accounts_that_were_known_before_days_were_counted_stand_as_their_best_line_does() {
        let mut connection = Connection::open_in_memory().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pulsemx.db");
        let place = MIGRATIONS.iter().position(|step| step.contains("CREATE TABLE day (")).unwrap();
        migrate(&mut connection, &path, &MIGRATIONS[..place]).unwrap();
        for (account, endpoint, state) in
            [(1, 1, "offline"), (1, 2, "online"), (2, 3, "offline"), (3, 4, "new"), (4, 5, "returning")]
        {
            let sql = format!(
                "INSERT OR IGNORE INTO account (id, name, status, created_at) VALUES ({account}, 'a{account}', 'active', 0);
                 INSERT INTO endpoint (id, account, host, smtp_port) VALUES ({endpoint}, {account}, 'h{endpoint}', 25);
                 INSERT INTO line (endpoint, state, since) VALUES ({endpoint}, '{state}', 0);"
            );
            connection.execute_batch(&sql).unwrap();
        }
        migrate(&mut connection, &path, &MIGRATIONS[..=place]).unwrap();
        let mut rows =
            connection.prepare("SELECT account, standing, until_s < 86400 FROM day ORDER BY account").unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows: Vec<(i64, String, bool)> = rows.query_map([], read).unwrap().map(Result::unwrap).collect();
        let stands = |account, standing: &str| (account, standing.to_owned(), true);
        assert_eq!(rows, [stands(1, "online"), stands(2, "offline"), stands(4, "online")]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("memory");
        let steps = ["CREATE TABLE a (x INTEGER);", "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER);"];
        migrate(&mut connection, path, &steps[..1]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        assert!(migrate(&mut connection, &directory.path().join("x"), &steps).is_err());
        assert_eq!(version(&connection, path, &steps).unwrap(), 1);
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x INTEGER);").unwrap();
        let refused = migrate(&mut connection, Path::new("memory"), MIGRATIONS);
        assert!(matches!(refused, Err(OpenError::Foreign { .. })), "{refused:?}");
    }
}
