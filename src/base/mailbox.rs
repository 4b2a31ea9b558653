//! Addresses of people: local-part and domain, exactly as the sender wrote them.

use std::fmt;

use super::domain::{DomainName, DomainNameError};

/// Longest local-part taken. RFC 5321 §4.5.3.1.1 asks for at least 64; real VERP and SRS addresses go beyond.
pub const LOCAL_PART_OCTETS_MAX: usize = 254;

/// The part before the `@`, as written, quotes included. Never folded or normalised: it is the primary's to read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LocalPart(String);

/// Where a mailbox lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MailHost {
    /// A name.
    Name(DomainName),
    /// An address literal with its brackets, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
    Literal(String),
}

/// A mailbox: `local-part@domain` (RFC 5321 §4.1.2). Two are equal when their domains are, however they are spelled.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// As written.
    pub local_part: LocalPart,
    /// Normalised, for comparison.
    pub host: MailHost,
    /// The domain as written, without a final dot: what goes out again.
    spelling: String,
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.local_part == other.local_part && self.host == other.host
    }
}

impl Eq for Mailbox {}

impl std::hash::Hash for Mailbox {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.local_part.hash(state);
        self.host.hash(state);
    }
}

/// The sender of an envelope.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReversePath {
    /// `<>`: a notification that must not be answered (RFC 5321 §4.5.5).
    Null,
    /// Somebody.
    Mailbox(Mailbox),
}

/// Why a text is not a mailbox.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MailboxError {
    /// No `@`, or nothing on one side of it.
    #[error("an address is local-part@domain")]
    Incomplete,
    /// The local-part is longer than [`LOCAL_PART_OCTETS_MAX`].
    #[error("the local-part is longer than {LOCAL_PART_OCTETS_MAX} octets")]
    LocalPartTooLong,
    /// A character that has to be quoted, or a quoted string that does not end.
    #[error("the local-part has a character that needs quoting")]
    BadLocalPart,
    /// Beyond ASCII without SMTPUTF8 (RFC 6531 §3.3).
    #[error("the local-part is not ASCII")]
    NeedsSmtpUtf8,
    /// The domain is none.
    #[error("{0}")]
    Domain(#[from] DomainNameError),
    /// A malformed address literal.
    #[error("the address literal is malformed")]
    BadLiteral,
}

impl LocalPart {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `postmaster` or `abuse`, who always have their mail (RFC 5321 §4.5.1, RFC 2142 §4).
    #[must_use]
    pub fn is_role(&self) -> bool {
        let name = self.unquoted();
        ["postmaster", "abuse"].iter().any(|role| name.eq_ignore_ascii_case(role))
    }

    /// The mailbox name without quotes, for comparisons (`"a.b"` and `a.b` are one mailbox, RFC 5321 §4.1.2).
    #[must_use]
    pub fn unquoted(&self) -> String {
        let Some(inner) = self.0.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
            return self.0.clone();
        };
        let mut plain = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            plain.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        plain
    }
}

/// Characters of an unquoted local-part: atext of RFC 5321 §4.1.2 and the dot, with UTF-8 per RFC 6531 §3.3.
/// Dots may stand anywhere: addresses such as `a..b@` exist, and judging them is the primary's business.
fn is_dot_string_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// Length of the local-part at the head of `text`, up to and without its `@`.
fn local_part_length(text: &str) -> Result<usize, MailboxError> {
    if !text.starts_with('"') {
        let end = text.find('@').ok_or(MailboxError::Incomplete)?;
        let unquoted = text.get(..end).unwrap_or_default();
        if unquoted.is_empty() {
            return Err(MailboxError::Incomplete);
        }
        return if unquoted.chars().all(is_dot_string_char) { Ok(end) } else { Err(MailboxError::BadLocalPart) };
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if c.is_control() => return Err(MailboxError::BadLocalPart),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let end = at + 1;
                let rest = text.get(end..).unwrap_or_default();
                return if rest.starts_with('@') { Ok(end) } else { Err(MailboxError::BadLocalPart) };
            }
            _ => {}
        }
    }
    Err(MailboxError::BadLocalPart)
}

fn literal(text: &str) -> Result<String, MailboxError> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(MailboxError::BadLiteral)?;
    let v6 = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).and_then(|_| inner.get(5..));
    let good = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    if good { Ok(text.to_owned()) } else { Err(MailboxError::BadLiteral) }
}

impl Mailbox {
    /// Parses `local-part@domain` without angle brackets.
    ///
    /// # Errors
    /// [`MailboxError`] says which rule the text breaks; text beyond ASCII in the local-part is refused unless
    /// `smtputf8`.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, MailboxError> {
        let end = local_part_length(text)?;
        let (local, rest) = text.split_at_checked(end).ok_or(MailboxError::Incomplete)?;
        if local.len() > LOCAL_PART_OCTETS_MAX {
            return Err(MailboxError::LocalPartTooLong);
        }
        if !smtputf8 && !local.is_ascii() {
            return Err(MailboxError::NeedsSmtpUtf8);
        }
        let domain = rest.strip_prefix('@').ok_or(MailboxError::Incomplete)?;
        let host = if domain.starts_with('[') {
            MailHost::Literal(literal(domain)?)
        } else if !smtputf8 && !domain.is_ascii() {
            return Err(MailboxError::NeedsSmtpUtf8);
        } else if domain.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>')) {
            // IDNA maps some of these away, but the spelling goes out again as it is.
            return Err(MailboxError::Domain(DomainNameError::BadCharacter));
        } else {
            let name = DomainName::parse(domain)?;
            if !name.is_plainly(domain) {
                // The spelling goes out again, and whoever reads it next may see another domain in it.
                return Err(MailboxError::Domain(DomainNameError::BadCharacter));
            }
            MailHost::Name(name)
        };
        let spelling = domain.strip_suffix('.').unwrap_or(domain).to_owned();
        Ok(Self { local_part: LocalPart(local.to_owned()), host, spelling })
    }

    /// The mailbox that every mail domain has (RFC 5321 §4.5.1).
    #[must_use]
    pub fn postmaster(domain: &DomainName) -> Self {
        Self {
            local_part: LocalPart("postmaster".to_owned()),
            spelling: domain.as_str().to_owned(),
            host: MailHost::Name(domain.clone()),
        }
    }

    /// The domain or literal as the sender wrote it, for the wire.
    #[must_use]
    pub fn domain_as_written(&self) -> &str {
        &self.spelling
    }

    /// The domain, unless the mailbox lives at an address literal.
    #[must_use]
    pub const fn domain(&self) -> Option<&DomainName> {
        match &self.host {
            MailHost::Name(name) => Some(name),
            MailHost::Literal(_) => None,
        }
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.spelling)
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; empty for the null reverse-path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl ReversePath {
    /// Reads what [`Display`](fmt::Display) wrote: empty is the null reverse-path.
    ///
    /// # Errors
    /// As [`Mailbox::parse`].
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, MailboxError> {
        if text.is_empty() { Ok(Self::Null) } else { Mailbox::parse(text, smtputf8).map(Self::Mailbox) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_spelling() {
        for text in [
            "Otto.Normal+tag@firma.example",
            "\"a b@c\"@firma.example",
            "\"a\\\"b\"@firma.example",
            "a..b@firma.example",
            "x@[192.0.2.1]",
            "x@[IPv6:2001:db8::1]",
        ] {
            assert_eq!(Mailbox::parse(text, false).unwrap().to_string(), text);
        }
        let shouted = Mailbox::parse("a@FIRMA.Example.", false).unwrap();
        assert_eq!(shouted.to_string(), "a@FIRMA.Example");
        assert_eq!(shouted, Mailbox::parse("a@firma.example", false).unwrap());
        assert_eq!(shouted.domain().unwrap().as_str(), "firma.example");
    }

    #[test]
    fn quotes_do_not_make_another_mailbox() {
        let quoted = Mailbox::parse("\"a\\b.c\"@x.example", false).unwrap();
        assert_eq!(quoted.local_part.unquoted(), "ab.c");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a",
            "a b@c.example",
            "a@b@c.example",
            "\"a@b.example",
            "\"a\"b@c.example",
            "a<b@c.example",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a\r\n@b.example",
            "\"a\r\n\"@b.example",
            "a@-b.example",
        ] {
            assert!(Mailbox::parse(text, true).is_err(), "{text:?}");
        }
        let long = format!("{}@x.example", "a".repeat(255));
        assert_eq!(Mailbox::parse(&long, false), Err(MailboxError::LocalPartTooLong));
    }

    #[cfg(feature = "server")]
    #[test]
    fn letters_that_only_look_like_a_domain_are_refused() {
        for domain in ["\u{ff46}irma.example", "fir\u{ad}ma.example", "firma\u{3002}example", "fi\u{200d}rma.example"] {
            assert!(Mailbox::parse(&format!("b@{domain}"), true).is_err(), "{domain}");
        }
        for domain in ["bücher.example", "BÜCHER.Example.", "faß.example", "xn--bcher-kva.example"] {
            assert_eq!(
                Mailbox::parse(&format!("b@{domain}"), true).unwrap().domain_as_written(),
                domain.trim_end_matches('.')
            );
        }
    }

    #[test]
    fn utf8_needs_the_extension() {
        assert_eq!(Mailbox::parse("jörg@x.example", false), Err(MailboxError::NeedsSmtpUtf8));
        assert_eq!(Mailbox::parse("jörg@x.example", true).unwrap().to_string(), "jörg@x.example");
    }
}
