//! Reads a list of recipients as customers upload it: one address a line.
//!
//! ```text
//! # comment
//! anna.meier@firma.example
//! info                        only if one domain is meant
//! sales-*@firma.example       a pattern
//! *@firma.example             everybody: a catch-all
//! hmac-sha256:<64 hex>        a keyed hash, only if one domain is meant
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::model::{ENTRIES_PER_ACCOUNT_MAX, HASH_KEY_OCTETS_MAX, HASH_MARK, ListEntry};
use crate::base::DomainName;

/// Largest upload, octets.
pub const UPLOAD_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// All entries of one domain, in place of those before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewList {
    /// Who lives there.
    pub entries: BTreeSet<ListEntry>,
    /// The key of the hashes among them.
    pub hash_key: Option<Vec<u8>>,
}

/// Why a list was not taken. Nothing of it was.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ListError {
    /// One line is wrong.
    #[error("line {line}: {reason}: {text:?}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// Its beginning.
        text: String,
    },
    /// Larger than a firm can be.
    #[error("a list has {ENTRIES_PER_ACCOUNT_MAX} entries at most")]
    TooLong,
    /// A list without anybody would refuse everybody.
    #[error("the list names nobody; to forget a list use `pulsemx recipient forget`")]
    Empty,
    /// Hashes cannot be compared without it.
    #[error("the list has hashes; give their key")]
    NoKey,
    /// The key is too long or empty.
    #[error("the key of a hashed list has 1 to {HASH_KEY_OCTETS_MAX} octets")]
    BadKey,
}

/// Reads an upload. `own` are the domains of the account; bare names are those of `only`.
///
/// # Errors
/// [`ListError`] says which line to mend.
pub fn parse(
    text: &str,
    own: &dyn Fn(&DomainName) -> bool,
    only: Option<&DomainName>,
    hash_key: Option<&[u8]>,
) -> Result<BTreeMap<DomainName, NewList>, ListError> {
    if hash_key.is_some_and(|key| key.is_empty() || key.len() > HASH_KEY_OCTETS_MAX) {
        return Err(ListError::BadKey);
    }
    let mut lists: BTreeMap<DomainName, NewList> = BTreeMap::new();
    let mut count = 0;
    for (line, at) in text.lines().zip(1..) {
        let content = without_comment(line).trim();
        if content.is_empty() {
            continue;
        }
        let wrong = |reason: String| ListError::Line { line: at, reason, text: content.chars().take(80).collect() };
        let (domain, entry) = entry(content, own, only).map_err(wrong)?;
        count += 1;
        if count > ENTRIES_PER_ACCOUNT_MAX {
            return Err(ListError::TooLong);
        }
        let list = lists.entry(domain).or_default();
        if matches!(entry, ListEntry::Hash(_)) {
            list.hash_key = Some(hash_key.ok_or(ListError::NoKey)?.to_vec());
        }
        list.entries.insert(entry);
    }
    if lists.is_empty() { Err(ListError::Empty) } else { Ok(lists) }
}

/// What stands before a comment: `#` at the beginning or behind white space. Elsewhere it belongs to a name.
fn without_comment(line: &str) -> &str {
    let begins = |at: &usize| *at == 0 || line.get(..*at).is_some_and(|before| before.ends_with([' ', '\t']));
    let comment = line.match_indices('#').map(|(at, _)| at).find(begins);
    comment.and_then(|at| line.get(..at)).unwrap_or(line)
}

fn entry(
    content: &str,
    own: &dyn Fn(&DomainName) -> bool,
    only: Option<&DomainName>,
) -> Result<(DomainName, ListEntry), String> {
    let one = || only.cloned().ok_or_else(|| "whose domain? write name@domain or name one domain".to_owned());
    let at = if content.starts_with(HASH_MARK) { None } else { content.rfind('@') };
    let (name, domain) = match at {
        None => (content, one()?),
        Some(at) => {
            let (name, domain) = (content.get(..at).unwrap_or_default(), content.get(at + 1..).unwrap_or_default());
            (name, DomainName::parse(domain).map_err(|error| error.to_string())?)
        }
    };
    if !own(&domain) {
        return Err(format!("{domain} is no domain of this account"));
    }
    if only.is_some_and(|only| *only != domain) {
        return Err("this list is for another domain".to_owned());
    }
    Ok((domain, name.parse().map_err(|error: super::model::EntryError| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn read(text: &str, only: Option<&str>, key: Option<&[u8]>) -> Result<Vec<String>, ListError> {
        let own = |domain: &DomainName| ["firma.example", "zwei.example"].contains(&domain.as_str());
        let only = only.map(name);
        let lists = parse(text, &own, only.as_ref(), key)?;
        Ok(lists.iter().flat_map(|(d, l)| l.entries.iter().map(move |e| format!("{e}@{d}"))).collect())
    }

    #[test]
    fn lists_of_several_domains_come_in_one_upload() {
        let text = "# people\nAnna@Firma.Example\r\nanna@firma.example # again\n\n*@zwei.example\na#b@firma.example\n";
        assert_eq!(read(text, None, None).unwrap(), ["a#b@firma.example", "anna@firma.example", "*@zwei.example"]);
    }

    #[test]
    fn bare_names_and_hashes_need_one_domain() {
        assert!(matches!(read("anna\n", None, None), Err(ListError::Line { line: 1, .. })));
        assert_eq!(read("anna\n", Some("firma.example"), None).unwrap(), ["anna@firma.example"]);
        let hash = format!("hmac-sha256:{}", "ab".repeat(32));
        assert_eq!(read(&hash, Some("firma.example"), None), Err(ListError::NoKey));
        assert_eq!(read(&hash, Some("firma.example"), Some(b"k")).unwrap(), [format!("{hash}@firma.example")]);
        assert_eq!(read(&hash, Some("firma.example"), Some(b"")), Err(ListError::BadKey));
    }

    #[test]
    fn a_wrong_line_is_named_and_nothing_is_taken() {
        for (text, line) in [("a@firma.example\nb@other.example", 2), ("\n\na b@firma.example", 3), ("a@", 1)] {
            match read(text, None, None) {
                Err(ListError::Line { line: found, .. }) => assert_eq!(found, line, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert!(read("b@zwei.example", Some("firma.example"), None).is_err());
        assert_eq!(read("# nobody\n", None, None), Err(ListError::Empty));
    }
}
