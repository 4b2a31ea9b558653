//! What a shared key may change: a name or all below it, and which types.

use std::fmt;
use std::str::FromStr;

use hickory_proto::rr::RecordType;
use serde::{Deserialize, Serialize};

use crate::base::{AccountId, DomainName};
use crate::dns::owner::Owner;

/// Scopes of one key, at most.
pub const SCOPES_PER_KEY_MAX: usize = 100;
/// Types in one scope, at most.
const TYPES_MAX: usize = 32;

/// Types of records; an empty list stands for all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TypeList(Vec<RecordType>);

/// Not a list of types.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is no type that an update may change; write a list such as A,AAAA,TXT, or ANY")]
pub struct BadType(String);

impl TypeList {
    /// Whether a type is in it. All does not mean DS: who sets that says whose keys are believed below, so it has to be named.
    #[must_use]
    pub fn has(&self, kind: RecordType) -> bool {
        self.0.is_empty() && kind != RecordType::DS || self.0.contains(&kind)
    }

    /// As stored: empty for all.
    #[must_use]
    pub fn stored(&self) -> String {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        words.join(",")
    }

    /// Reads what [`stored`](Self::stored) wrote.
    ///
    /// # Errors
    /// [`BadType`]
    pub fn from_stored(text: &str) -> Result<Self, BadType> {
        if text.is_empty() { Ok(Self::default()) } else { text.parse() }
    }
}

impl FromStr for TypeList {
    type Err = BadType;

    fn from_str(text: &str) -> Result<Self, BadType> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::default());
        }
        let mut all = Vec::new();
        for word in text.split(',').map(str::trim) {
            let bad = || BadType(word.to_owned());
            let kind: RecordType = word.to_ascii_uppercase().parse().map_err(|_| bad())?;
            if !may_be_changed(kind) || all.len() >= TYPES_MAX {
                return Err(bad());
            }
            if !all.contains(&kind) {
                all.push(kind);
            }
        }
        Ok(Self(all))
    }
}

impl fmt::Display for TypeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "ANY".to_owned() } else { self.stored() }.as_str())
    }
}

impl TryFrom<String> for TypeList {
    type Error = BadType;

    fn try_from(text: String) -> Result<Self, BadType> {
        text.parse()
    }
}

impl From<TypeList> for String {
    fn from(list: TypeList) -> Self {
        list.to_string()
    }
}

/// Whether records of the type are data of a zone (RFC 6895 §3.1): not those of questions and of messages, and not those
/// that only whoever signs a zone may make.
#[must_use]
pub const fn may_be_changed(kind: RecordType) -> bool {
    use RecordType as T;
    !matches!(
        kind,
        T::ZERO
            | T::ANY
            | T::AXFR
            | T::IXFR
            | T::OPT
            | T::TSIG
            | T::SIG
            | T::RRSIG
            | T::NSEC
            | T::NSEC3
            | T::NSEC3PARAM
            | T::DNSKEY
            | T::CDS
            | T::CDNSKEY
    ) && !matches!(kind, T::Unknown(0 | 128..=255 | 65_535))
}

/// What one key may change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredScope {
    /// The key.
    pub key: DomainName,
    /// The name.
    pub name: DomainName,
    /// Whose name it is, in whosever zone it lies: for another account's it opens nothing.
    pub account: AccountId,
    /// All names below it too.
    pub is_below: bool,
    /// Which types.
    pub types: TypeList,
}

impl StoredScope {
    /// For the audit log.
    #[must_use]
    pub fn audit_words(&self) -> String {
        let below = if self.is_below { " and below" } else { "" };
        format!("tsig.allow {} {}{below} {}", self.key, self.name, self.types)
    }

    /// Whether it opens this name and type of this account.
    #[must_use]
    pub fn opens(&self, owner: &Owner, kind: RecordType, account: AccountId) -> bool {
        let name = Owner::of_domain(&self.name);
        let is_name = *owner == name || self.is_below && owner.is_within(&name);
        is_name && self.account == account && self.types.has(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_types_is_read_and_written() {
        let list: TypeList = "a, TXT,AAAA,txt".parse().unwrap();
        assert_eq!((list.stored().as_str(), list.to_string().as_str()), ("A,TXT,AAAA", "A,TXT,AAAA"));
        assert!(list.has(RecordType::TXT) && !list.has(RecordType::MX));
        let all: TypeList = "any".parse().unwrap();
        assert_eq!((all.stored().as_str(), all.to_string().as_str()), ("", "ANY"));
        assert!(all.has(RecordType::MX));
        assert_eq!(TypeList::from_stored(""), Ok(all));
        for bad in ["", "A,", "WORD", "AXFR", "RRSIG", "TSIG", "A,ANY"] {
            assert!(bad.parse::<TypeList>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_opens_its_name_its_types_and_its_account() {
        let name = |text: &str| DomainName::parse(text).unwrap();
        let owner = |text: &str| Owner::of_domain(&name(text));
        let mut scope = StoredScope {
            key: name("k.example"),
            name: name("_acme-challenge.firma.example"),
            account: AccountId(1),
            is_below: false,
            types: "TXT".parse().unwrap(),
        };
        let (exact, below) = (owner("_acme-challenge.firma.example"), owner("x._acme-challenge.firma.example"));
        assert!(scope.opens(&exact, RecordType::TXT, AccountId(1)));
        assert!(!scope.opens(&exact, RecordType::A, AccountId(1)));
        assert!(!scope.opens(&exact, RecordType::TXT, AccountId(2)));
        assert!(!scope.opens(&below, RecordType::TXT, AccountId(1)));
        assert!(!scope.opens(&owner("firma.example"), RecordType::TXT, AccountId(1)));
        scope.is_below = true;
        assert!(
            scope.opens(&below, RecordType::TXT, AccountId(1)) && scope.opens(&exact, RecordType::TXT, AccountId(1))
        );
        assert!(!scope.opens(&owner("not_acme-challenge.firma.example"), RecordType::TXT, AccountId(1)));
    }
}
