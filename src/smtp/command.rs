//! One line from a peer becomes one checked [`Command`]; nothing further in parses text again.

use std::fmt;

use zeroize::Zeroizing;

use super::dsn;
use super::path::{self, ForwardPath};
use super::reply::{self, Reply};
use crate::base::ReversePath;
use crate::spool::{BodyType, MessageDsn, RecipientDsn};

/// Longest name after EHLO (RFC 5321 §4.5.3.1.2).
pub const HELO_OCTETS_MAX: usize = 255;

/// What a peer asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// `EHLO` with a name that is safe in a header.
    Ehlo(String),
    /// `HELO`, the same.
    Helo(String),
    /// `MAIL FROM:`.
    Mail(MailCommand),
    /// `RCPT TO:`.
    Rcpt(RcptCommand),
    /// `DATA`.
    Data,
    /// `BDAT` (RFC 3030 §2); its octets follow at once, whatever we think of it.
    Bdat(Chunk),
    /// `BDAT` without a length that can be read: nobody knows where the next command begins.
    EndlessBdat,
    /// `RSET`.
    Rset,
    /// `NOOP`, with or without words.
    Noop,
    /// `VRFY`.
    Vrfy,
    /// `HELP`.
    Help,
    /// `QUIT`.
    Quit,
    /// `STARTTLS`.
    StartTls,
    /// `ETRN` and whose mail is asked for.
    Etrn(String),
    /// `AUTH` (RFC 4954 §4).
    Auth(Auth),
    /// A verb of a browser or proxy that was led here (cross-protocol attack).
    Http,
}

/// The arguments of `BDAT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Octets that follow the command line.
    pub octets: u64,
    /// The content ends with them.
    pub is_last: bool,
}

/// The arguments of `AUTH`.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// None: one that nobody has heard of here.
    pub mechanism: Option<Mechanism>,
    /// The initial response, still in base64; `=` for an empty one.
    pub response: Option<Zeroizing<String>>,
}

/// Without what proves it.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// How a peer proves who it is. Both send the secret itself, hence only under TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 4616 §2.
    Plain,
    /// Two questions; without an RFC, and what many servers have.
    Login,
}

/// The arguments of `MAIL`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailCommand {
    /// From whom.
    pub reverse_path: ReversePath,
    /// Written without octets beyond ASCII.
    pub is_ascii: bool,
    /// `SIZE=` (RFC 1870 §6.1).
    pub declared_octets: Option<u64>,
    /// `BODY=` (RFC 6152 §2).
    pub body: BodyType,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// `REQUIRETLS` (RFC 8689 §3).
    pub requires_tls: bool,
    /// `AUTH=` (RFC 4954 §5): who sent it first, which we believe nobody.
    pub has_auth: bool,
    /// `RET=` and `ENVID=` (RFC 3461 §4.3, RFC 3461 §4.4).
    pub dsn: MessageDsn,
}

/// The arguments of `RCPT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RcptCommand {
    /// To whom.
    pub path: ForwardPath,
    /// Written without octets beyond ASCII, parameters included.
    pub is_ascii: bool,
    /// `NOTIFY=` and `ORCPT=` (RFC 3461 §4.1, RFC 3461 §4.2).
    pub dsn: RecipientDsn,
}

/// Reads one line without its CRLF.
///
/// # Errors
/// The reply that the peer gets.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| reply::BAD_OCTETS)?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(reply::BAD_OCTETS);
    }
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, rest) = match line.split_once([' ', '\t']) {
        Some((verb, rest)) => (verb, rest.trim_start_matches([' ', '\t'])),
        None => (line, ""),
    };
    if !verb.is_ascii() || verb.len() > 8 {
        return Err(reply::UNKNOWN_VERB);
    }
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => helo_name(rest).map(Command::Ehlo),
        "HELO" => helo_name(rest).map(Command::Helo),
        "MAIL" => mail(rest).map(Command::Mail),
        "RCPT" => rcpt(rest).map(Command::Rcpt),
        "DATA" => alone(rest, Command::Data),
        "BDAT" => Ok(bdat(rest)),
        "RSET" => alone(rest, Command::Rset),
        "QUIT" => alone(rest, Command::Quit),
        "STARTTLS" => alone(rest, Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if rest.is_empty() => Err(reply::BAD_SYNTAX),
        "VRFY" => Ok(Command::Vrfy),
        "ETRN" if rest.is_empty() => Err(reply::BAD_SYNTAX),
        "ETRN" => Ok(Command::Etrn(rest.to_owned())),
        "AUTH" => auth(rest).map(Command::Auth),
        "EXPN" | "TURN" | "ATRN" | "SEND" | "SOML" | "SAML" | "XCLIENT" | "XFORWARD" | "BURL" | "LHLO" => {
            Err(reply::NOT_OFFERED)
        }
        "GET" | "POST" | "CONNECT" | "PUT" | "HEAD" | "OPTIONS" | "DELETE" | "PATCH" | "TRACE" => Ok(Command::Http),
        _ => Err(reply::UNKNOWN_VERB),
    }
}

fn alone(rest: &str, command: Command) -> Result<Command, Reply> {
    if rest.is_empty() { Ok(command) } else { Err(reply::BAD_SYNTAX) }
}

fn auth(rest: &str) -> Result<Auth, Reply> {
    let (name, response) = match rest.split_once(' ') {
        Some((name, response)) => (name, Some(response.trim_matches(' '))),
        None => (rest, None),
    };
    if name.is_empty() || response.is_some_and(|response| response.is_empty() || response.contains(' ')) {
        return Err(reply::BAD_SYNTAX);
    }
    let mechanism = match name.to_ascii_uppercase().as_str() {
        "PLAIN" => Some(Mechanism::Plain),
        "LOGIN" => Some(Mechanism::Login),
        _ => None,
    };
    Ok(Auth { mechanism, response: response.map(|text| Zeroizing::new(text.to_owned())) })
}

fn bdat(rest: &str) -> Command {
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let octets =
        words.next().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).and_then(|word| word.parse().ok());
    let is_last = match words.next() {
        None => Some(false),
        Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
    };
    match (octets, is_last, words.next()) {
        (Some(octets), Some(is_last), None) => Command::Bdat(Chunk { octets, is_last }),
        (_, _, _) => Command::EndlessBdat,
    }
}

/// A name that may enter our Received line: letters, digits, hyphen, underscore and dot, or an address literal.
fn helo_name(text: &str) -> Result<String, Reply> {
    let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let is_literal = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b)));
    let is_good = !text.is_empty() && text.len() <= HELO_OCTETS_MAX && (is_name || is_literal);
    if is_good { Ok(text.to_owned()) } else { Err(reply::BAD_HELO) }
}

/// Cuts `FROM:` or `TO:` off in any case. Blanks before the path are not in RFC 5321 §3.3, but common and harmless.
fn after_keyword<'a>(text: &'a str, keyword: &str) -> Result<&'a str, Reply> {
    let (head, rest) = text.split_at_checked(keyword.len()).ok_or(reply::BAD_SYNTAX)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(reply::BAD_SYNTAX);
    }
    Ok(rest.trim_start_matches(' '))
}

/// The parameters behind a path: blanks, then `KEY` or `KEY=value`, divided by blanks.
fn parameters(rest: &str) -> Result<impl Iterator<Item = (&str, Option<&str>)>, Reply> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(reply::BAD_SYNTAX);
    }
    Ok(rest.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (word, None),
    }))
}

fn mail(rest: &str) -> Result<MailCommand, Reply> {
    let (inner, rest) = path::split(after_keyword(rest, "FROM:")?).map_err(|_| reply::BAD_SENDER)?;
    let reverse_path = path::reverse_path(inner).map_err(|_| reply::BAD_SENDER)?;
    let (mut declared_octets, mut body, mut smtputf8, mut requires_tls) = (None, None, false, false);
    let mut has_auth = false;
    let mut dsn = MessageDsn::default();
    for (key, value) in parameters(rest)? {
        match (key.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if declared_octets.is_none() => declared_octets = Some(size(value)?),
            ("BODY", Some(value)) if body.is_none() => body = Some(body_type(value)?),
            ("SMTPUTF8", None) if !smtputf8 => smtputf8 = true,
            ("REQUIRETLS", None) if !requires_tls => requires_tls = true,
            ("AUTH", Some(value)) if !has_auth && dsn::is_xtext(value) => has_auth = true,
            ("RET", Some(value)) if dsn.ret.is_none() => {
                dsn.ret = Some(value.parse().map_err(|_| reply::BAD_SYNTAX)?);
            }
            ("ENVID", Some(value)) if dsn.envelope_id.is_none() => {
                dsn.envelope_id = Some(dsn::envelope_id(value)?);
            }
            ("SIZE" | "BODY" | "SMTPUTF8" | "REQUIRETLS" | "AUTH" | "RET" | "ENVID", _) => {
                return Err(reply::BAD_SYNTAX);
            }
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    let is_ascii = inner.is_ascii();
    if !is_ascii && !smtputf8 {
        return Err(reply::NEEDS_SMTPUTF8);
    }
    let body = body.unwrap_or_default();
    Ok(MailCommand { reverse_path, is_ascii, declared_octets, body, smtputf8, requires_tls, has_auth, dsn })
}

/// Up to 20 digits (RFC 1870 §4).
fn size(value: &str) -> Result<u64, Reply> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(reply::BAD_SYNTAX);
    }
    // Twenty digits may go beyond 64 bits; such a message is too big all the same.
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body_type(value: &str) -> Result<BodyType, Reply> {
    if value.eq_ignore_ascii_case("7BIT") {
        Ok(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(BodyType::EightBitMime)
    } else if value.is_empty() {
        Err(reply::BAD_SYNTAX)
    } else {
        // BINARYMIME is not offered, and nobody has another one.
        Err(reply::UNKNOWN_PARAMETER)
    }
}

fn rcpt(arguments: &str) -> Result<RcptCommand, Reply> {
    let (inner, rest) = path::split(after_keyword(arguments, "TO:")?).map_err(|_| reply::BAD_RECIPIENT)?;
    let path = path::forward_path(inner).map_err(|_| reply::BAD_RECIPIENT)?;
    let mut dsn = RecipientDsn::default();
    for (key, value) in parameters(rest)? {
        match (key.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) if dsn.notify.is_none() => {
                dsn.notify = Some(value.parse().map_err(|_| reply::BAD_SYNTAX)?);
            }
            ("ORCPT", Some(value)) if dsn.original_recipient.is_none() => {
                dsn.original_recipient = Some(dsn::original_recipient(value)?);
            }
            ("NOTIFY" | "ORCPT", _) => return Err(reply::BAD_SYNTAX),
            _ => return Err(reply::UNKNOWN_PARAMETER),
        }
    }
    Ok(RcptCommand { path, is_ascii: arguments.is_ascii(), dsn })
}

#[cfg(test)]
mod tests;
