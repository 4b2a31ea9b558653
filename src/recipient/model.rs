//! Recipients as plain values.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::{AccountId, DomainName, LocalPart, WallTime};

/// A list is believed for this long after its last upload; then strangers to it are put off instead of refused, since
/// employees come and go.
pub const LIST_FRESH_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long an address that the customer's server accepted is believed to exist.
pub const ACCEPTED_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How long an address that it refused is believed not to exist: never longer, a new employee wants his mail today.
pub const REFUSED_FOR: Duration = Duration::from_secs(2 * 3_600);
/// Entries of all lists of one account.
pub const ENTRIES_PER_ACCOUNT_MAX: usize = 200_000;
/// Learned addresses of one account; beyond it nothing new is learned until old ones run out.
pub const LEARNED_PER_ACCOUNT_MAX: usize = 100_000;
/// Longest key for hashed lists, octets.
pub const HASH_KEY_OCTETS_MAX: usize = 64;

/// A mailbox name as it is compared: without quotes and in lower case. What goes out keeps its spelling.
#[must_use]
pub fn comparable(local_part: &LocalPart) -> String {
    local_part.unquoted().to_lowercase()
}

/// HMAC-SHA-256 (RFC 2104) of `local-part@domain` in lower case: what a hashed list holds.
#[must_use]
pub fn hashed(key: &[u8], name: &str, domain: &DomainName) -> [u8; 32] {
    // A MAC of this kind takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(name.as_bytes());
    mac.update(b"@");
    mac.update(domain.as_str().as_bytes());
    mac.finalize().into_bytes().into()
}

/// One line of a list: who lives there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListEntry {
    /// A mailbox name, [`comparable`].
    Name(String),
    /// Names that begin and end so: `sales-*`. Both empty: every name, a catch-all.
    Pattern {
        /// Before the star.
        before: String,
        /// Behind it.
        after: String,
    },
    /// A name that we are not told, [`hashed`].
    Hash([u8; 32]),
}

impl ListEntry {
    /// Whether a comparable name is covered by a pattern.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Pattern { before, after } => {
                name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            }
            Self::Name(_) | Self::Hash(_) => false,
        }
    }
}

impl fmt::Display for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pattern { before, after } => write!(f, "{before}*{after}"),
            Self::Hash(hash) => write!(f, "{HASH_MARK}{}", data_encoding::HEXLOWER.encode(hash)),
        }
    }
}

/// Stands before a hash in a list.
pub const HASH_MARK: &str = "hmac-sha256:";

/// Why a text is no entry.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    /// Empty, too long, or with characters that no mailbox has.
    #[error("this is no mailbox name")]
    Name,
    /// Not 64 hexadecimal digits.
    #[error("a hash is hmac-sha256: and 64 hexadecimal digits")]
    Hash,
    /// More than one star.
    #[error("a pattern has one *")]
    Pattern,
}

/// Reads the part before the `@`, or a hash. A star makes a pattern; a mailbox with a star in its name cannot be listed
/// but by its hash.
impl FromStr for ListEntry {
    type Err = EntryError;
    fn from_str(text: &str) -> Result<Self, EntryError> {
        if let Some(digits) = text.strip_prefix(HASH_MARK) {
            let hash = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| EntryError::Hash)?;
            return hash.try_into().map(Self::Hash).map_err(|_| EntryError::Hash);
        }
        let probe = crate::base::Mailbox::parse(&format!("{text}@x.example"), true).map_err(|_| EntryError::Name)?;
        let name = comparable(&probe.local_part);
        match name.split_once('*') {
            None => Ok(Self::Name(name)),
            Some((_, after)) if after.contains('*') => Err(EntryError::Pattern),
            Some((before, after)) => Ok(Self::Pattern { before: before.to_owned(), after: after.to_owned() }),
        }
    }
}

/// What is done with a recipient whom nobody knows while the customer's server is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Refused where a list of the last week lacks him, put off where the list is older; where there is none, as
    /// [`WithoutList`] says for all.
    #[default]
    ByList,
    /// Taken.
    Accept,
    /// Put off: the sender comes again, perhaps when the server is back.
    Defer,
    /// Refused.
    Reject,
}

impl Unknown {
    const ALL: [Self; 4] = [Self::ByList, Self::Accept, Self::Defer, Self::Reject];

    /// As in commands and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByList => "by-list",
            Self::Accept => "accept",
            Self::Defer => "defer",
            Self::Reject => "reject",
        }
    }
}

impl FromStr for Unknown {
    type Err = &'static str;
    fn from_str(word: &str) -> Result<Self, &'static str> {
        Self::ALL.into_iter().find(|unknown| unknown.as_str() == word).ok_or("say by-list, accept, defer or reject")
    }
}

/// What is done where a domain has no list and its owner settled nothing (`smtp.unknown_recipients`). A list holds all the
/// same: whoever uploads one has said what he wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WithoutList {
    /// Taken.
    #[default]
    Accept,
    /// Put off.
    Defer,
    /// Refused.
    Reject,
}

impl FromStr for WithoutList {
    type Err = &'static str;
    fn from_str(word: &str) -> Result<Self, &'static str> {
        match word {
            "accept" => Ok(Self::Accept),
            "defer" => Ok(Self::Defer),
            "reject" => Ok(Self::Reject),
            _ => Err("say accept, defer or reject"),
        }
    }
}

/// What a customer settled for one domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// See there.
    pub unknown: Unknown,
    /// What separates a mailbox name from the detail behind it, `+` mostly: `name+detail` is `name` (RFC 5233).
    pub separator: Option<char>,
}

/// How often a server is asked for an address that nobody has.
pub const CALL_OUT_EVERY: Duration = Duration::from_secs(86_400);
/// After an answer that told nothing, or none, it is not asked again before.
pub const CALL_OUT_APART: Duration = Duration::from_secs(600);

/// What a customer's server said of an address that nobody has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallOut {
    /// It would take it, and so every address: its yes tells nothing of who lives there.
    pub takes_everybody: bool,
    /// When.
    pub at: WallTime,
}

/// What a customer's server said of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
    /// Whose.
    pub account: AccountId,
    /// The domain.
    pub domain: DomainName,
    /// [`comparable`].
    pub name: String,
    /// 250 to it; else 550 5.1.1.
    pub is_accepted: bool,
    /// When.
    pub at: WallTime,
}

impl Learned {
    /// When it is no longer believed.
    #[must_use]
    pub fn ends(&self) -> WallTime {
        self.at + if self.is_accepted { ACCEPTED_FOR } else { REFUSED_FOR }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<ListEntry, EntryError> {
        text.parse()
    }

    #[test]
    fn entries_are_compared_in_lower_case_and_without_quotes() {
        assert_eq!(entry("Anna.Meier"), Ok(ListEntry::Name("anna.meier".to_owned())));
        assert_eq!(entry("\"Anna.Meier\""), entry("anna.meier"));
        assert_eq!(entry("Jörg"), Ok(ListEntry::Name("jörg".to_owned())));
    }

    #[test]
    fn patterns_have_one_star() {
        let pattern = entry("sales-*").unwrap();
        assert!(pattern.covers("sales-nord") && pattern.covers("sales-") && !pattern.covers("sale"));
        assert!(entry("*").unwrap().covers("anybody"));
        assert!(!entry("ab*ba").unwrap().covers("aba"));
        assert_eq!(entry("a*b*"), Err(EntryError::Pattern));
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        for text in ["", "a b", "a\n", "a@b", &"x".repeat(300)] {
            assert_eq!(entry(text), Err(EntryError::Name), "{text:?}");
        }
        assert_eq!(entry("hmac-sha256:12"), Err(EntryError::Hash));
    }

    #[test]
    fn a_hash_is_an_hmac_that_others_can_make() {
        // printf %s anna@firma.example | openssl dgst -sha256 -hmac geheim
        let hash = hashed(b"geheim", "anna", &DomainName::parse("firma.example").unwrap());
        let text = ListEntry::Hash(hash).to_string();
        assert_eq!(entry(&text), Ok(ListEntry::Hash(hash)));
        assert_eq!(text, "hmac-sha256:5e461e0fecd3c0874edb48ab0a603f8e0b77f0b2e55c0a7ab177eb181d821bc4");
    }

    #[test]
    fn knowledge_of_strangers_ends_soon() {
        let at = WallTime::UNIX_EPOCH;
        let learned = |is_accepted| Learned {
            account: AccountId(1),
            domain: DomainName::parse("firma.example").unwrap(),
            name: "a".to_owned(),
            is_accepted,
            at,
        };
        assert_eq!(learned(true).ends(), at + ACCEPTED_FOR);
        assert_eq!(learned(false).ends(), at + REFUSED_FOR);
    }
}
