//! What stands between the angle brackets of MAIL and RCPT: paths (RFC 5321 §4.1.2), exactly.

use crate::base::{Mailbox, MailboxError, ReversePath};

/// Longest path with its brackets. RFC 5321 §4.5.3.1.3 asks for 256; a local-part may have 254 here.
pub const PATH_OCTETS_MAX: usize = 1024;

/// Why a text is not a path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// No `<` at the head or no `>` that ends it.
    #[error("a path stands between < and >")]
    NoBrackets,
    /// More than [`PATH_OCTETS_MAX`].
    #[error("a path has at most {PATH_OCTETS_MAX} octets")]
    TooLong,
    /// What is between them is no mailbox.
    #[error("{0}")]
    Mailbox(#[from] MailboxError),
}

/// The argument of `RCPT TO:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForwardPath {
    /// `<Postmaster>` in any case and without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    /// `<local-part@domain>`.
    Mailbox(Mailbox),
    /// `<@one,@two:local-part@domain>`: a source route (RFC 5321 §4.1.1.3, appendix C).
    Routed(Mailbox),
}

/// Splits `<...> rest` at the `>` that ends the path: one that no quoted string holds. The rest is parameters.
///
/// # Errors
/// [`PathError::NoBrackets`] or [`PathError::TooLong`].
pub fn split(text: &str) -> Result<(&str, &str), PathError> {
    let inner = text.strip_prefix('<').ok_or(PathError::NoBrackets)?;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        if at >= PATH_OCTETS_MAX {
            return Err(PathError::TooLong);
        }
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => {
                let (path, rest) = inner.split_at_checked(at).ok_or(PathError::NoBrackets)?;
                return Ok((path, rest.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err(PathError::NoBrackets)
}

/// Cuts a source route off: `@one,@two:mailbox` is `(true, "mailbox")`.
fn without_route(path: &str) -> (bool, &str) {
    match path.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, mailbox)) => (true, mailbox),
        None => (false, path),
    }
}

/// Reads the inside of the brackets of MAIL. A route is dropped: nothing is ever sent back along it
/// (RFC 5321 appendix C).
///
/// # Errors
/// [`PathError::Mailbox`].
pub fn reverse_path(path: &str) -> Result<ReversePath, PathError> {
    let (_, mailbox) = without_route(path);
    Ok(ReversePath::parse(mailbox, true)?)
}

/// Reads the inside of the brackets of RCPT.
///
/// # Errors
/// [`PathError::Mailbox`].
pub fn forward_path(path: &str) -> Result<ForwardPath, PathError> {
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(ForwardPath::Postmaster);
    }
    let (is_routed, mailbox) = without_route(path);
    let mailbox = Mailbox::parse(mailbox, true)?;
    Ok(if is_routed { ForwardPath::Routed(mailbox) } else { ForwardPath::Mailbox(mailbox) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_bracket_does_not_end_a_path() {
        assert_eq!(split("<\"a>b\\\"\"@x.example> SIZE=1"), Ok(("\"a>b\\\"\"@x.example", " SIZE=1")));
        assert_eq!(split("<>"), Ok(("", "")));
        for text in ["a@b.example", "<a@b.example", "<\"a>@b.example", ""] {
            assert_eq!(split(text), Err(PathError::NoBrackets), "{text}");
        }
        assert_eq!(split(&format!("<{}>", "a".repeat(2000))), Err(PathError::TooLong));
    }

    #[test]
    fn postmaster_needs_no_domain_and_routes_are_seen() {
        assert_eq!(forward_path("pOsTmAsTeR"), Ok(ForwardPath::Postmaster));
        assert!(matches!(forward_path("@a.example,@b.example:c@d.example"), Ok(ForwardPath::Routed(_))));
        assert!(forward_path("root").is_err());
        assert!(forward_path("").is_err());
        assert_eq!(reverse_path(""), Ok(ReversePath::Null));
        assert_eq!(reverse_path("@a.example:c@d.example").unwrap().to_string(), "c@d.example");
        assert!(reverse_path("root").is_err());
    }
}
