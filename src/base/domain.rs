//! Domain names as keys: one spelling for every way of writing the same name.

use std::fmt;
use std::str::FromStr;

/// Longest domain name in octets, without the final dot (RFC 1035 §2.3.4).
pub const DOMAIN_OCTETS_MAX: usize = 253;

/// A host or domain name in the one form in which names are compared: lower case, A-labels, no final dot.
///
/// At least one label; each 1 to 63 letters, digits, hyphens or underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "server",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct DomainName(String);

/// The text is not a domain name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DomainNameError {
    /// Nothing, or nothing between two dots.
    #[error("a domain name has a word between any two dots")]
    EmptyLabel,
    /// A label of more than 63 or a name of more than 253 octets.
    #[error("a domain name has at most {DOMAIN_OCTETS_MAX} characters and 63 between two dots")]
    TooLong,
    /// A character that no host name has, or letters that have no A-label.
    #[error("a domain name has letters, digits, hyphens and dots")]
    BadCharacter,
}

impl DomainName {
    /// Parses and normalises. A final dot and any case are taken; letters beyond ASCII become A-labels
    /// where IDNA is compiled in (the server), and are refused elsewhere.
    ///
    /// # Errors
    /// [`DomainNameError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text.is_ascii() { text.to_ascii_lowercase() } else { to_a_labels(text)? };
        if ascii.len() > DOMAIN_OCTETS_MAX {
            return Err(DomainNameError::TooLong);
        }
        for label in ascii.split('.') {
            if label.is_empty() {
                return Err(DomainNameError::EmptyLabel);
            }
            if label.len() > 63 {
                return Err(DomainNameError::TooLong);
            }
            let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !inner || label.starts_with('-') || label.ends_with('-') {
                return Err(DomainNameError::BadCharacter);
            }
        }
        Ok(Self(ascii))
    }

    /// Whether `text`, which was parsed to this name, is written in ASCII or in U-labels as they are (RFC 5890 §2.3.2.1),
    /// in any case. Other letters that are mapped to the same name, such as full-width ones, are look-alikes.
    #[must_use]
    pub fn is_plainly(&self, text: &str) -> bool {
        let text = text.strip_suffix('.').unwrap_or(text);
        text.is_ascii() || to_u_labels(&self.0) == text.to_lowercase()
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "server")]
fn to_a_labels(text: &str) -> Result<String, DomainNameError> {
    idna::domain_to_ascii(text).map_err(|_| DomainNameError::BadCharacter)
}

#[cfg(feature = "server")]
fn to_u_labels(name: &str) -> String {
    idna::domain_to_unicode(name).0
}

#[cfg(not(feature = "server"))]
fn to_u_labels(name: &str) -> String {
    name.to_owned()
}

#[cfg(not(feature = "server"))]
fn to_a_labels(_text: &str) -> Result<String, DomainNameError> {
    Err(DomainNameError::BadCharacter)
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;
    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = DomainNameError;
    fn try_from(text: String) -> Result<Self, DomainNameError> {
        Self::parse(&text)
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        let name = DomainName::parse("firma.example").unwrap();
        assert_eq!(DomainName::parse("FIRMA.Example.").unwrap(), name);
        #[cfg(feature = "server")]
        assert_eq!(DomainName::parse("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(DomainName::parse(""), Err(DomainNameError::EmptyLabel));
        assert_eq!(DomainName::parse("a..b"), Err(DomainNameError::EmptyLabel));
        assert_eq!(DomainName::parse("a b"), Err(DomainNameError::BadCharacter));
        assert_eq!(DomainName::parse("-a.example"), Err(DomainNameError::BadCharacter));
        assert_eq!(DomainName::parse("a/b"), Err(DomainNameError::BadCharacter));
        assert_eq!(DomainName::parse(&"a".repeat(64)), Err(DomainNameError::TooLong));
        assert_eq!(DomainName::parse(&"a.".repeat(200)), Err(DomainNameError::TooLong));
    }
}
