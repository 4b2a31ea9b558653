//! Reads a zone file that is named on the command line.

use std::io::Read;

use super::ZoneText;
use crate::dns::zone_file::ZONE_FILE_OCTETS_MAX;

/// Reads the file at `path`, or standard input for `-`.
///
/// # Errors
/// One sentence for the operator.
pub fn read(path: &str) -> Result<ZoneText, String> {
    let limit = u64::try_from(ZONE_FILE_OCTETS_MAX).unwrap_or(u64::MAX) + 1;
    let mut octets = Vec::new();
    let read = if path == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut octets)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets))
    };
    read.map_err(|error| error.to_string())?;
    if octets.len() > ZONE_FILE_OCTETS_MAX {
        return Err(format!("a zone file has at most {ZONE_FILE_OCTETS_MAX} octets"));
    }
    String::from_utf8(octets).map(ZoneText).map_err(|_| "it is no text in UTF-8".to_owned())
}
