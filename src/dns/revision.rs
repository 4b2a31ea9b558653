//! What the next version of a customer's zone is: its serial, and what its history says of it.

use std::collections::{BTreeSet, HashSet};

use hickory_proto::rr::{RData, RecordType};

use super::owner::Owner;
use super::zone::{ZoneRecord, is_serial_newer, next_serial};
use super::zone_file;

/// Lines of a change that are kept.
const CHANGE_LINES_MAX: usize = 100;

/// The serial that the SOA record among these has.
#[must_use]
pub fn soa_serial(records: &[ZoneRecord]) -> Option<u32> {
    records.iter().find_map(|record| if let RData::SOA(soa) = &record.data { Some(soa.serial) } else { None })
}

/// The serial behind the one that was served last and the one that was written (RFC 1982 §3.2).
#[must_use]
pub fn serial_after(served: u32, written: u32, unix_seconds: i64) -> u32 {
    let later = if is_serial_newer(served, written) { served } else { written };
    next_serial(later, unix_seconds)
}

/// The records with this serial in their SOA record.
#[must_use]
pub fn with_serial(mut records: Vec<ZoneRecord>, serial: u32) -> Vec<ZoneRecord> {
    for record in &mut records {
        if let RData::SOA(soa) = &mut record.data {
            soa.serial = serial;
        }
    }
    records
}

/// Lines with `-` and `+`, the SOA record left out.
#[must_use]
pub fn difference(before: &[ZoneRecord], after: &[ZoneRecord]) -> String {
    let known = |records| -> HashSet<Facts<'_>> { <[ZoneRecord]>::iter(records).map(facts).collect() };
    let lines = |records: &[ZoneRecord], others: &HashSet<Facts<'_>>| -> BTreeSet<String> {
        let is_told =
            |record: &&ZoneRecord| record.data.record_type() != RecordType::SOA && !others.contains(&facts(record));
        records.iter().filter(is_told).map(zone_file::line).collect()
    };
    let gone = lines(before, &known(after)).into_iter().map(|line| format!("- {line}"));
    let come = lines(after, &known(before)).into_iter().map(|line| format!("+ {line}"));
    let mut all: Vec<String> = gone.chain(come).collect();
    let further = all.len().saturating_sub(CHANGE_LINES_MAX);
    if further > 0 {
        all.truncate(CHANGE_LINES_MAX);
        all.push(format!("and {further} further lines"));
    }
    all.join("\n")
}

/// What makes a record another one.
type Facts<'a> = (&'a Owner, u32, &'a RData);

const fn facts(record: &ZoneRecord) -> Facts<'_> {
    (&record.owner, record.ttl, &record.data)
}
