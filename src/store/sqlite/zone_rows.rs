//! Writes the records of a zone so that only what changed is written: an update of one record in a zone of 10,000
//! writes two rows.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::dns::NameError;
use crate::dns::records::data_octets;
use crate::dns::zone::ZoneRecord;

/// Distance between the places of two records that were written together: 40 records fit between them one by one, and
/// a million at once.
const GAP: i64 = 1 << 40;

/// A record as its row holds it: owner, type, TTL, data.
type Stored = (Vec<u8>, u16, u32, Vec<u8>);

/// What leads from the rows that are there to those that are wanted.
#[derive(PartialEq, Eq, Debug)]
struct Edits {
    /// Places of rows that go.
    gone: Vec<i64>,
    /// Places of new rows, and which of the wanted records stands there.
    come: Vec<(i64, usize)>,
}

/// Puts `records` in place of what stands in the zone.
pub(super) fn put(db: &Connection, zone: &str, records: &[ZoneRecord]) -> Result<(), NameError> {
    let stored = |record: &ZoneRecord| -> Result<Stored, NameError> {
        let data = data_octets(&record.data).map_err(|error| NameError::Engine(Box::new(error)))?;
        Ok((record.owner.octets().to_vec(), u16::from(record.data.record_type()), record.ttl, data))
    };
    let wanted: Vec<Stored> = records.iter().map(stored).collect::<Result<_, _>>()?;
    let standing = standing(db, zone)?;
    let edits = edits(&standing, &wanted).unwrap_or_else(|| Edits {
        gone: standing.iter().map(|(place, _)| *place).collect(),
        come: (0i64..).map(|number| number * GAP).zip(0..wanted.len()).collect(),
    });
    let mut remove = db.prepare_cached("DELETE FROM zone_record WHERE zone = ?1 AND place = ?2")?;
    for place in edits.gone {
        remove.execute(params![zone, place])?;
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO zone_record (zone, place, owner, type, ttl, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (place, (owner, number, ttl, data)) in
        edits.come.iter().filter_map(|(place, at)| Some((place, wanted.get(*at)?)))
    {
        insert.execute(params![zone, place, owner, number, ttl, data])?;
    }
    Ok(())
}

fn standing(db: &Connection, zone: &str) -> rusqlite::Result<Vec<(i64, Stored)>> {
    let mut statement =
        db.prepare_cached("SELECT place, owner, type, ttl, data FROM zone_record WHERE zone = ?1 ORDER BY place")?;
    let rows =
        statement.query_map([zone], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))))?;
    rows.collect()
}

/// Keeps rows whose order does not change and finds places for the others between them; absent where there is no room.
fn edits(standing: &[(i64, Stored)], wanted: &[Stored]) -> Option<Edits> {
    // The standing rows of each content, the last first, so that the first is taken first.
    let mut known: HashMap<&Stored, Vec<usize>> = HashMap::new();
    for (at, (_, row)) in standing.iter().enumerate().rev() {
        known.entry(row).or_default().push(at);
    }
    let mut edits = Edits { gone: Vec::new(), come: Vec::new() };
    // The first standing row behind the last one that is kept, its place, and wanted ones that have no place yet.
    let (mut next, mut low, mut waiting) = (0usize, None, Vec::new());
    for (number, row) in wanted.iter().enumerate() {
        let kept = known.get_mut(row).and_then(|places| {
            while places.last().is_some_and(|at| *at < next) {
                places.pop();
            }
            places.pop()
        });
        let Some((at, place)) = kept.and_then(|at| Some((at, standing.get(at)?.0))) else {
            waiting.push(number);
            continue;
        };
        edits.gone.extend(standing.get(next..at)?.iter().map(|(place, _)| *place));
        settle(&mut waiting, low, Some(place), &mut edits.come)?;
        (next, low) = (at + 1, Some(place));
    }
    edits.gone.extend(standing.get(next..)?.iter().map(|(place, _)| *place));
    settle(&mut waiting, low, None, &mut edits.come)?;
    Some(edits)
}

/// Spreads new rows evenly between two places.
fn settle(waiting: &mut Vec<usize>, low: Option<i64>, high: Option<i64>, come: &mut Vec<(i64, usize)>) -> Option<()> {
    let count = i64::try_from(waiting.len()).ok()?;
    let (first, step) = match (low, high) {
        (Some(low), Some(high)) => {
            let step = high.checked_sub(low)? / (count + 1);
            (low + step, step)
        }
        (Some(low), None) => (low.checked_add(GAP)?, GAP),
        (None, Some(high)) => (high.checked_sub(GAP.checked_mul(count)?)?, GAP),
        (None, None) => (0, GAP),
    };
    if step == 0 && count > 0 {
        return None;
    }
    for (number, at) in (0..count).zip(waiting.drain(..)) {
        come.push((first.checked_add(step.checked_mul(number)?)?, at));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn row(letter: u8) -> Stored {
        (vec![letter], 1, 60, Vec::new())
    }

    fn rows(letters: &str) -> Vec<Stored> {
        letters.bytes().map(row).collect()
    }

    /// The rows after the edits, and how many were written.
    fn after(standing: &[(i64, Stored)], wanted: &[Stored]) -> Option<(Vec<(i64, Stored)>, usize)> {
        let edits = edits(standing, wanted)?;
        let written = edits.gone.len() + edits.come.len();
        let mut all: BTreeMap<i64, Stored> = standing.iter().cloned().collect();
        for place in edits.gone {
            assert!(all.remove(&place).is_some());
        }
        for (place, at) in edits.come {
            assert!(all.insert(place, wanted[at].clone()).is_none(), "two rows at one place");
        }
        Some((all.into_iter().collect(), written))
    }

    fn spread(letters: &str) -> Vec<(i64, Stored)> {
        (0i64..).map(|number| number * GAP).zip(rows(letters)).collect()
    }

    #[test]
    fn one_changed_record_costs_two_rows_wherever_it_stands() {
        for (before, then, cost) in [
            ("Sabcdef", "Tabcdef", 2),
            ("Sabcdef", "Sabcxdef", 1),
            ("Sabcdef", "Tabcxef", 4),
            ("Sabcdef", "Sabcdefxyz", 3),
            ("Sabcdef", "Sabcdef", 0),
            ("Sabcdef", "", 7),
            ("", "Sab", 3),
        ] {
            let (stands, written) = after(&spread(before), &rows(then)).unwrap();
            assert_eq!(stands.into_iter().map(|(_, row)| row).collect::<Vec<_>>(), rows(then), "{before} {then}");
            assert_eq!(written, cost, "{before} {then}");
        }
    }

    #[test]
    fn neighbours_without_room_between_them_are_told() {
        let tight = [(4, row(b'a')), (5, row(b'b'))];
        assert_eq!(edits(&tight, &rows("axb")), None);
        assert!(edits(&tight, &rows("abx")).is_some());
        assert!(edits(&tight, &rows("ba")).is_some());
    }

    proptest! {
        #[test]
        fn any_change_ends_with_the_wanted_rows_in_their_order(
            first in "[a-e]{0,12}", wishes in proptest::collection::vec("[a-e]{0,12}", 1..20)
        ) {
            let mut stands = spread(&first);
            for wish in wishes {
                stands = after(&stands, &rows(&wish)).map_or_else(|| spread(&wish), |(stands, _)| stands);
                prop_assert_eq!(stands.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(), rows(&wish));
            }
        }
    }
}
