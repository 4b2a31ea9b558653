//! Where does mail of our own go: which hosts of a domain, in which order (RFC 5321 §5.1), and when again?

use std::time::Duration;

use crate::base::DomainName;

/// Hosts of one domain that are tried.
pub const HOSTS_MAX: usize = 8;

/// Addresses that are tried in one attempt (RFC 5321 §5.1 lets a client limit them).
pub const ADDRESSES_MAX: usize = 8;

/// How long a mail is tried (RFC 5321 §4.5.4.1).
pub const TRIED_FOR: Duration = Duration::from_secs(5 * 86_400);

/// Waits between attempts; the last one repeats.
const WAITS: [Duration; 7] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(4 * 3_600),
];

/// The wait after so many attempts.
#[must_use]
pub fn wait_after(attempts: u32) -> Duration {
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let [.., last] = WAITS;
    WAITS.get(place).copied().unwrap_or(last)
}

/// The hosts of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hosts {
    /// The domain takes no mail (RFC 7505 §3).
    NoMail,
    /// The best host is ourselves: whatever else there is passes mail to us.
    Ourselves,
    /// Best first.
    InOrder(Vec<DomainName>),
}

/// One answer: preference and name of the host, as it was written; `.` is the null MX.
pub type MxRecord = (u16, String);

/// Puts hosts in order. `draw` chooses among hosts of one preference. No record at all: the domain itself is the host.
#[must_use]
pub fn in_order(records: &[MxRecord], domain: &DomainName, own: &DomainName, draw: u32) -> Hosts {
    if records.is_empty() {
        return Hosts::InOrder(vec![domain.clone()]);
    }
    let mut hosts: Vec<(u16, DomainName)> = records
        .iter()
        .filter(|(_, name)| name != ".")
        .filter_map(|(preference, name)| DomainName::parse(name.trim_end_matches('.')).ok().map(|n| (*preference, n)))
        .collect();
    if hosts.is_empty() {
        return Hosts::NoMail;
    }
    hosts.sort();
    if let Some(limit) = hosts.iter().filter(|(_, name)| name == own).map(|(preference, _)| *preference).min() {
        hosts.retain(|(preference, _)| *preference < limit);
        if hosts.is_empty() {
            return Hosts::Ourselves;
        }
    }
    let mut ordered = Vec::with_capacity(hosts.len());
    for same in hosts.chunk_by(|a, b| a.0 == b.0) {
        let turn = usize::try_from(draw).unwrap_or(0) % same.len();
        let (head, tail) = same.split_at(turn);
        ordered.extend(tail.iter().chain(head).map(|(_, name)| name.clone()));
    }
    ordered.dedup();
    ordered.truncate(HOSTS_MAX);
    Hosts::InOrder(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(records: &[(u16, &str)], draw: u32) -> Vec<String> {
        let records: Vec<MxRecord> = records.iter().map(|(p, n)| (*p, (*n).to_owned())).collect();
        let name = |text| DomainName::parse(text).unwrap();
        match in_order(&records, &name("d.example"), &name("mx2.example"), draw) {
            Hosts::InOrder(hosts) => hosts.iter().map(ToString::to_string).collect(),
            Hosts::NoMail => vec!["none".to_owned()],
            Hosts::Ourselves => vec!["ourselves".to_owned()],
        }
    }

    #[test]
    fn the_best_host_is_first_and_equals_take_turns() {
        let records = [(20, "c.example."), (10, "B.example."), (10, "a.example.")];
        assert_eq!(order(&records, 0), ["a.example", "b.example", "c.example"]);
        assert_eq!(order(&records, 1), ["b.example", "a.example", "c.example"]);
    }

    #[test]
    fn without_a_record_the_domain_itself_is_asked() {
        assert_eq!(order(&[], 0), ["d.example"]);
    }

    #[test]
    fn a_null_mx_takes_no_mail() {
        assert_eq!(order(&[(0, ".")], 0), ["none"]);
        assert_eq!(order(&[(0, "."), (5, "a.example.")], 0), ["a.example"]);
        assert_eq!(order(&[(5, "no name.")], 0), ["none"]);
    }

    #[test]
    fn hosts_behind_ourselves_are_left_out() {
        let records = [(10, "a.example."), (20, "mx2.example."), (20, "b.example."), (30, "c.example.")];
        assert_eq!(order(&records, 0), ["a.example"]);
        assert_eq!(order(&[(10, "mx2.example.")], 0), ["ourselves"]);
    }

    #[test]
    fn waits_grow_to_four_hours() {
        let minutes = |attempts| wait_after(attempts).as_secs() / 60;
        assert_eq!([minutes(0), minutes(1), minutes(2), minutes(7), minutes(99)], [1, 1, 5, 240, 240]);
    }
}
