//! Reads the files of a command where it is typed: the server may not see them.

use std::io::Read;

use crate::dns::zone_file::ZONE_FILE_OCTETS_MAX;
use crate::recipient::list::UPLOAD_OCTETS_MAX;

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// One sentence for the person who typed it.
pub fn text(path: &str) -> Result<String, String> {
    text_up_to(path, UPLOAD_OCTETS_MAX)
}

/// The same of a zone file.
///
/// # Errors
/// As [`text`].
pub fn zone(path: &str) -> Result<String, String> {
    text_up_to(path, ZONE_FILE_OCTETS_MAX)
}

fn text_up_to(path: &str, octets_max: usize) -> Result<String, String> {
    let fault = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let source: Box<dyn Read> =
        if path == "-" { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(path).map_err(fault)?) };
    let mut text = String::new();
    let limit = u64::try_from(octets_max).unwrap_or(u64::MAX);
    let octets = source.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(fault)?;
    if octets > octets_max {
        return Err(format!("{path} is longer than {octets_max} octets"));
    }
    Ok(text)
}

/// A key in a file, without the line end behind it.
///
/// # Errors
/// As [`text`].
pub fn key(path: &str) -> Result<String, String> {
    text(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}
