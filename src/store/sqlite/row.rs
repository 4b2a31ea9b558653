//! How values become columns and columns become values again.

use std::fmt::Display;

use rusqlite::Row;

use crate::base::WallTime;

/// A time as stored: nanoseconds since 1970. Times beyond the years 1678 to 2262 become the nearest storable one.
pub(super) fn stored_time(time: WallTime) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(if time.timestamp() < 0 { i64::MIN } else { i64::MAX })
}

/// The time of a stored number.
pub(super) const fn time(stored: i64) -> WallTime {
    WallTime::from_timestamp_nanos(stored)
}

/// A count as stored.
pub(super) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count of a stored number.
pub(super) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A column that does not hold what it should. The row is kept as it is.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds something that cannot be read: {text}")]
pub(super) struct OddColumn {
    column: usize,
    text: String,
}

/// Makes the error of a column that holds an odd value.
pub(super) fn odd(column: usize, text: impl Display) -> rusqlite::Error {
    let text: String = text.to_string().chars().take(80).collect();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(OddColumn { column, text }))
}

/// Reads a text column through its parser.
pub(super) fn parsed<T, E: Display>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).map_err(|error| odd(column, error))
}

/// Reads an optional text column through its `FromStr`.
pub(super) fn parsed_optional<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| odd(column, error))).transpose()
}

/// Whether an error speaks of one odd row and not of the engine: that row is logged and skipped, never deleted.
pub(super) const fn is_odd_row(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// Keeps a row that reads well; logs and skips an odd one.
pub(super) fn keep_readable<T>(table: &'static str, row: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match row {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_odd_row(&error) => {
            tracing::error!(table, %error, "odd row is kept and skipped");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// All readable rows of a query.
pub(super) fn readable<T>(
    table: &'static str,
    rows: impl Iterator<Item = rusqlite::Result<T>>,
) -> rusqlite::Result<Vec<T>> {
    rows.filter_map(|row| keep_readable(table, row).transpose()).collect()
}
