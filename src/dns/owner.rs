//! Owner names as keys: in wire form, in lower case.

use std::borrow::Borrow;
use std::fmt;

use hickory_proto::rr::Name;

use crate::base::DomainName;

/// Longest name on the wire, its final zero included (RFC 1035 §2.3.4).
pub const OWNER_OCTETS_MAX: usize = 255;

/// A name in wire form without compression, ASCII letters in lower case: the form in which names are compared
/// (RFC 4343 §3). Begins with a length octet and ends with the root's zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Box<[u8]>);

impl Owner {
    /// Of a host or domain name, which always fits.
    #[must_use]
    pub fn of_domain(name: &DomainName) -> Self {
        let mut octets = Vec::with_capacity(name.as_str().len() + 2);
        for label in name.as_str().split('.') {
            octets.push(u8::try_from(label.len()).unwrap_or(0));
            octets.extend_from_slice(label.as_bytes());
        }
        octets.push(0);
        Self(octets.into())
    }

    /// Of a name as hickory read it.
    #[must_use]
    pub fn of_name(name: &Name) -> Self {
        let mut octets = Vec::with_capacity(name.len() + 1);
        for label in name.iter() {
            octets.push(u8::try_from(label.len()).unwrap_or(0));
            octets.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        octets.push(0);
        Self(octets.into())
    }

    /// Of octets that were kept; absent if they are no name in wire form.
    #[must_use]
    pub fn from_stored(octets: &[u8]) -> Option<Self> {
        let is_whole = labels(octets).all(|label| label.len() <= 63)
            && labels(octets).map(|label| label.len() + 1).sum::<usize>() + 1 == octets.len()
            && octets.len() <= OWNER_OCTETS_MAX
            && octets.last() == Some(&0);
        is_whole.then(|| Self(octets.to_ascii_lowercase().into()))
    }

    /// Of octets that are an owner already, such as a suffix of one.
    #[must_use]
    pub(super) fn of_octets(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// As stored: wire form, lower case.
    #[must_use]
    pub const fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The same for hickory.
    #[must_use]
    pub fn to_name(&self) -> Name {
        let labels: Vec<&[u8]> = labels(&self.0).collect();
        // Labels were checked when the owner was made; the root stands for the impossible.
        Name::from_labels(labels).unwrap_or_else(|_| Name::root())
    }

    /// The same as a host or domain name; absent if it is none.
    #[must_use]
    pub fn to_domain(&self) -> Option<DomainName> {
        DomainName::parse(self.to_string().trim_end_matches('.')).ok()
    }

    /// Whether this name is `apex` or lies below it.
    #[must_use]
    pub fn is_within(&self, apex: &Self) -> bool {
        suffixes(&self.0).any(|suffix| suffix == apex.octets())
    }

    /// `*` below this name.
    #[must_use]
    pub fn wildcard(&self) -> Self {
        let mut octets = vec![1, b'*'];
        octets.extend_from_slice(&self.0);
        Self(octets.into())
    }
}

impl Borrow<[u8]> for Owner {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_name(), f)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name itself, then each name above it, the root last. `octets` is an uncompressed name.
pub fn suffixes(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(octets), |rest| {
        let length = usize::from(*rest.first()?);
        if length == 0 { None } else { rest.get(length + 1..) }
    })
}

/// The labels of an uncompressed name, without the root's.
pub fn labels(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    suffixes(octets).filter_map(|rest| {
        let length = usize::from(*rest.first()?);
        if length == 0 { None } else { rest.get(1..=length) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(text: &str) -> Owner {
        Owner::of_domain(&DomainName::parse(text).unwrap())
    }

    #[test]
    fn a_name_is_the_same_key_from_both_sides() {
        let name = Name::from_ascii("Firma.DYN.example.").unwrap();
        assert_eq!(Owner::of_name(&name), owner("firma.dyn.example"));
        assert_eq!(owner("a.b").octets(), b"\x01a\x01b\x00");
        assert_eq!(owner("firma.dyn.example").to_string(), "firma.dyn.example.");
    }

    #[test]
    fn only_whole_names_are_taken_from_the_disk() {
        let good = owner("a.example");
        assert_eq!(Owner::from_stored(good.octets()), Some(good.clone()));
        for bad in [&b""[..], b"\x01a", b"\x02a\x00", b"\x01a\x00\x00", b"\xc0\x0c"] {
            assert_eq!(Owner::from_stored(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_above_are_counted_by_labels_and_not_by_letters() {
        assert!(owner("a.dyn.example").is_within(&owner("dyn.example")));
        assert!(owner("dyn.example").is_within(&owner("dyn.example")));
        assert!(!owner("adyn.example").is_within(&owner("dyn.example")));
        assert_eq!(suffixes(owner("a.b.c").octets()).count(), 4);
        assert_eq!(labels(owner("a.b.c").octets()).count(), 3);
        assert_eq!(owner("b.c").wildcard().to_string(), "*.b.c.");
    }
}
