//! What a secondary is sent: the whole zone, or what changed since the serial that it has (RFC 5936, RFC 1995).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::owner::Owner;
use super::zone::is_serial_newer;

/// Records of a zone that may be transferred, at most: copying more would hold up answers.
pub const RECORDS_MAX: usize = 200_000;
/// Steps of one zone that are remembered, at most.
const STEPS_MAX: usize = 1_000;
/// Records in all steps of one zone, at most; and never more than the zone has, as then the whole zone is shorter.
const STEP_RECORDS_MAX: usize = 50_000;
/// Octets of records in one message: far below the most of a stream, so that a signature always fits.
const MESSAGE_OCTETS_MAX: usize = 16_384;

/// A record in wire form without compression, its owner included.
pub type Record = Vec<u8>;

/// A zone at one serial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// As in `soa`.
    pub serial: u32,
    /// The SOA record.
    pub soa: Record,
    /// All others.
    pub records: Vec<Record>,
}

/// What a secondary asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Everything.
    Whole,
    /// What is newer than this serial.
    Since(u32),
}

/// From one serial to the next one that was sent to anybody.
#[derive(Debug)]
struct Step {
    from: u32,
    old_soa: Record,
    gone: Vec<Record>,
    new_soa: Record,
    come: Vec<Record>,
}

#[derive(Debug)]
struct History {
    now: Arc<Snapshot>,
    steps: VecDeque<Step>,
    step_records: usize,
}

/// What is remembered of the zones that were sent. Only serials that were sent count: nobody can ask from another one.
#[derive(Default, Debug)]
pub struct Histories(HashMap<Owner, History>);

impl Histories {
    /// The records to send, in their order; `now` is the zone as it is.
    pub fn records(&mut self, apex: &Owner, mut now: Snapshot, wanted: Wanted) -> Vec<Record> {
        now.records.sort_unstable();
        now.records.dedup();
        let history = match self.0.entry(apex.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => {
                let history = known.into_mut();
                history.step_to(now);
                history
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(History { now: Arc::new(now), steps: VecDeque::new(), step_records: 0 })
            }
        };
        history.records(wanted)
    }

    /// Forgets a zone.
    pub fn forget(&mut self, apex: &Owner) {
        self.0.remove(apex);
    }
}

impl History {
    fn step_to(&mut self, new: Snapshot) {
        if self.now.serial == new.serial && self.now.soa == new.soa && self.now.records == new.records {
            return;
        }
        if !is_serial_newer(new.serial, self.now.serial) {
            // Another zone of the same name, or one that was restored: nothing leads from there to here.
            *self = Self { now: Arc::new(new), steps: VecDeque::new(), step_records: 0 };
            return;
        }
        let (gone, come) = difference(&self.now.records, &new.records);
        self.step_records += gone.len() + come.len();
        let (old_soa, new_soa) = (self.now.soa.clone(), new.soa.clone());
        self.steps.push_back(Step { from: self.now.serial, old_soa, gone, new_soa, come });
        self.now = Arc::new(new);
        let records_max = STEP_RECORDS_MAX.min(self.now.records.len().max(STEPS_MAX));
        while self.steps.len() > STEPS_MAX || self.step_records > records_max {
            let Some(step) = self.steps.pop_front() else { break };
            self.step_records -= step.gone.len() + step.come.len();
        }
    }

    fn records(&self, wanted: Wanted) -> Vec<Record> {
        let soa = &self.now.soa;
        if let Wanted::Since(serial) = wanted {
            if !is_serial_newer(self.now.serial, serial) {
                return vec![soa.clone()];
            }
            if let Some(first) = self.steps.iter().position(|step| step.from == serial) {
                let mut all = vec![soa.clone()];
                for step in self.steps.iter().skip(first) {
                    all.push(step.old_soa.clone());
                    all.extend(step.gone.iter().cloned());
                    all.push(step.new_soa.clone());
                    all.extend(step.come.iter().cloned());
                }
                all.push(soa.clone());
                return all;
            }
        }
        let around = std::iter::once(soa);
        around.clone().chain(&self.now.records).chain(around).cloned().collect()
    }
}

/// What only the first has, and what only the second has; both are sorted.
fn difference(old: &[Record], new: &[Record]) -> (Vec<Record>, Vec<Record>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return (gone, come),
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
            }
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                gone.push((*a).clone());
                old.next();
            }
            (_, _) => come.extend(new.next().cloned()),
        }
    }
}

/// Messages that hold the records: `header` is the header of an answer and its question.
#[must_use]
pub fn messages(header: &[u8], records: &[Record], has_edns: bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut message = header.to_vec();
        let mut count = 0u16;
        while let Some((record, behind)) = rest.split_first() {
            if count > 0 && message.len() + record.len() > MESSAGE_OCTETS_MAX {
                break;
            }
            message.extend_from_slice(record);
            count += 1;
            rest = behind;
        }
        if let Some(place) = message.get_mut(6..8) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        if has_edns {
            super::answer::push_plain_opt(&mut message);
        }
        all.push(message);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;
    use proptest::prelude::*;

    fn snapshot(serial: u32, records: &[u8]) -> Snapshot {
        let records = records.iter().map(|record| vec![1, *record]).collect();
        Snapshot { serial, soa: [&[0][..], &serial.to_be_bytes()].concat(), records }
    }

    fn apex() -> Owner {
        Owner::of_domain(&DomainName::parse("firma.example").unwrap())
    }

    /// A secondary: what it has after an answer (RFC 1995 §4).
    fn follow(have: &mut Option<(Record, Vec<Record>)>, answer: &[Record]) {
        let [first, rest @ ..] = answer else { panic!("empty") };
        let Some((second, _)) = rest.split_first() else {
            assert!(have.is_some());
            return;
        };
        let is_soa = |record: &Record| record[0] == 0;
        if !is_soa(second) || rest.len() == 1 {
            let middle = &rest[..rest.len() - 1];
            assert_eq!(rest.last(), Some(first));
            *have = Some((first.clone(), middle.to_vec()));
            return;
        }
        let (soa, records) = have.as_mut().unwrap();
        let mut at = 0;
        while at < rest.len() - 1 {
            assert_eq!(rest[at], *soa);
            at += 1;
            while !is_soa(&rest[at]) {
                let place = records.iter().position(|known| *known == rest[at]).expect("what goes was there");
                records.remove(place);
                at += 1;
            }
            *soa = rest[at].clone();
            at += 1;
            while !is_soa(&rest[at]) {
                assert!(!records.contains(&rest[at]));
                records.push(rest[at].clone());
                at += 1;
            }
        }
        assert_eq!(soa, first);
    }

    #[test]
    fn a_secondary_that_is_up_to_date_is_sent_one_record() {
        let mut histories = Histories::default();
        for serial in [5, 6] {
            let sent = histories.records(&apex(), snapshot(5, &[1]), Wanted::Since(serial));
            assert_eq!(sent, [snapshot(5, &[]).soa]);
        }
    }

    #[test]
    fn a_serial_that_nobody_was_sent_gets_the_whole_zone() {
        let mut histories = Histories::default();
        histories.records(&apex(), snapshot(5, &[1]), Wanted::Whole);
        let sent = histories.records(&apex(), snapshot(7, &[1, 2]), Wanted::Since(4));
        assert_eq!(sent.len(), 4);
        let sent = histories.records(&apex(), snapshot(7, &[1, 2]), Wanted::Since(5));
        let soa = |serial| snapshot(serial, &[]).soa;
        assert_eq!(sent, [soa(7), soa(5), soa(7), vec![1, 2], soa(7)]);
        // A zone that was restored has another past.
        let sent = histories.records(&apex(), snapshot(6, &[9]), Wanted::Since(5));
        assert_eq!(sent, [soa(6), vec![1, 9], soa(6)]);
    }

    #[test]
    fn history_is_bounded_and_what_fell_out_gets_the_whole_zone() {
        let mut histories = Histories::default();
        let steps = u32::try_from(STEPS_MAX).unwrap() + 10;
        for serial in 0..=steps {
            let one = u8::try_from(serial % 200).unwrap();
            histories.records(&apex(), snapshot(serial, &[one]), Wanted::Whole);
        }
        let history = &histories.0[&apex()];
        assert!(history.steps.len() <= STEPS_MAX && history.step_records <= STEP_RECORDS_MAX);
        assert_eq!(history.records(Wanted::Since(1)).len(), 3);
        assert_eq!(history.records(Wanted::Since(steps - 1)).len(), 6);
    }

    #[test]
    fn messages_hold_all_records_and_no_more_than_fits() {
        let records: Vec<Record> = (0..500u16).map(|n| [&n.to_be_bytes()[..], &[7; 198]].concat()).collect();
        let all = messages(&[0; 20], &records, false);
        let together: Vec<u8> = all.iter().flat_map(|message| message[20..].to_vec()).collect();
        assert_eq!(together, records.concat());
        assert!(all.len() > 1 && all.iter().all(|message| message.len() <= MESSAGE_OCTETS_MAX));
        let counted: u16 = all.iter().map(|message| u16::from_be_bytes([message[6], message[7]])).sum();
        assert_eq!(counted, 500);
    }

    proptest! {
        /// However often and from wherever it asks, a secondary has what we have.
        #[test]
        fn a_secondary_ends_equal(
            steps in proptest::collection::vec((proptest::collection::btree_set(0u8..20, 0..12), 0u8..4), 1..60),
            first in any::<u32>(),
        ) {
            let mut histories = Histories::default();
            let mut have: [Option<(Record, Vec<Record>)>; 2] = [None, None];
            let mut serial = first;
            for (records, who) in steps {
                serial = serial.wrapping_add(1);
                let records: Vec<u8> = records.into_iter().collect();
                for (place, have) in have.iter_mut().enumerate() {
                    if usize::from(who) & (1 << place) == 0 {
                        continue;
                    }
                    let wanted = have.as_ref().map_or(Wanted::Whole, |(soa, _)| {
                        Wanted::Since(u32::from_be_bytes([soa[1], soa[2], soa[3], soa[4]]))
                    });
                    let sent = histories.records(&apex(), snapshot(serial, &records), wanted);
                    follow(have, &sent);
                    let (soa, mut got) = have.clone().unwrap();
                    got.sort();
                    prop_assert_eq!(soa, snapshot(serial, &[]).soa);
                    prop_assert_eq!(got, snapshot(serial, &records).records);
                }
            }
        }
    }
}
