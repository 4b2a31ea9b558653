//! What a server's octets mean as replies, however loosely it writes them.
//!
//! Servers send Latin-1, lone LF, a bare code, other codes on continuation lines. None of these may cost a message: a
//! reply that cannot be read after the final dot is a duplicate. What comes out is strict enough for any parser.

use super::handing::Attributes;
use crate::account::Manners;

/// Characters kept of one reply line; RFC 5321 §4.5.3.1.5 allows 512 octets, more is cut.
pub const REPLY_LINE_CHARS_MAX: usize = 512;

/// Lines kept of one reply; more are read and dropped.
pub const REPLY_LINES_MAX: usize = 64;

/// Octets of one reply after which the peer is no SMTP server.
pub const REPLY_OCTETS_MAX: usize = 64 * 1024;

/// A whole reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// 200 to 559.
    pub code: u16,
    /// Text of each line without the code: printable ASCII.
    pub lines: Vec<String>,
}

/// The peer does not speak SMTP.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// A line without a reply code.
    #[error("the server sent a line that is no SMTP reply")]
    Malformed,
    /// More than [`REPLY_OCTETS_MAX`].
    #[error("the server sent a reply of more than {REPLY_OCTETS_MAX} octets")]
    TooLong,
}

impl Reply {
    /// First digit of the code.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.code / 100
    }

    /// All lines in one.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// The enhanced status code at the head of the text, such as `4.5.3` (RFC 2034 §4).
    #[must_use]
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let class = parts.next()?;
        let numbers = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let rest = [parts.next()?, parts.next()?];
        let good = matches!(class, "2" | "4" | "5") && rest.into_iter().all(numbers) && parts.next().is_none();
        good.then_some(word)
    }

    /// The reply in strict form: CRLF, one code, ASCII, short lines.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        let last = self.lines.len().saturating_sub(1);
        for (place, line) in self.lines.iter().enumerate() {
            let mark = if place == last { ' ' } else { '-' };
            text.push_str(&format!("{}{mark}{line}\r\n", self.code));
        }
        if self.lines.is_empty() { format!("{} \r\n", self.code) } else { text }
    }
}

/// Puts replies together from octets as they arrive.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: Vec<u8>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyReader {
    /// Whether part of a reply has arrived.
    #[must_use]
    pub const fn is_within_reply(&self) -> bool {
        self.octets > 0
    }

    /// Reads on until a reply is whole. Returns how many octets belong to what was read, and the reply.
    ///
    /// # Errors
    /// [`WireError`]; the connection is of no use then.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(usize, Option<Reply>), WireError> {
        for (place, octet) in octets.iter().enumerate() {
            self.octets += 1;
            if self.octets > REPLY_OCTETS_MAX {
                return Err(WireError::TooLong);
            }
            if *octet != b'\n' {
                // The code and its mark come on top of the text.
                if self.line.len() < REPLY_LINE_CHARS_MAX + 4 {
                    self.line.push(*octet);
                }
                continue;
            }
            if let Some(code) = self.end_line()? {
                let lines = std::mem::take(&mut self.lines);
                self.octets = 0;
                return Ok((place + 1, Some(Reply { code, lines })));
            }
        }
        Ok((octets.len(), None))
    }

    /// Takes the finished line; its code, if it is the last of the reply.
    fn end_line(&mut self) -> Result<Option<u16>, WireError> {
        let mut line = std::mem::take(&mut self.line);
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        let (code, rest) = line.split_at_checked(3).ok_or(WireError::Malformed)?;
        let code = reply_code(code).ok_or(WireError::Malformed)?;
        let (is_last, text) = match rest.split_first() {
            None => (true, &[][..]),
            Some((b'-', text)) => (false, text),
            Some((b' ' | b'\t', text)) => (true, text),
            Some(_) => return Err(WireError::Malformed),
        };
        if self.lines.len() < REPLY_LINES_MAX {
            self.lines.push(text.iter().map(|octet| printable(*octet)).collect());
        }
        Ok(is_last.then_some(code))
    }
}

/// Three digits. A second digit that SMTP does not know leaves the class, which is what decides (RFC 5321 §4.2.1).
fn reply_code(digits: &[u8]) -> Option<u16> {
    let &[class @ b'2'..=b'5', category @ b'0'..=b'9', detail @ b'0'..=b'9'] = digits else { return None };
    let class = u16::from(class - b'0') * 100;
    let known = category <= b'5';
    Some(if known { class + u16::from(category - b'0') * 10 + u16::from(detail - b'0') } else { class })
}

fn printable(octet: u8) -> char {
    match octet {
        b'\t' => ' ',
        b' '..=b'~' => char::from(octet),
        _ => '?',
    }
}

/// What a server offered in its reply to EHLO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// `SIZE` with its limit in octets; 0 for none (RFC 1870 §3).
    pub size: Option<u64>,
    /// RFC 2920 §3.
    pub pipelining: bool,
    /// RFC 6152 §2.
    pub eight_bit_mime: bool,
    /// RFC 6531 §3.1.
    pub smtputf8: bool,
    /// RFC 3461 §4.
    pub dsn: bool,
    /// RFC 3207 §4.
    pub starttls: bool,
    /// RFC 8689 §3. Of use only where the server has proven its key over TLS.
    pub require_tls: bool,
    /// What `XCLIENT` takes (Postfix); nothing where it is not offered.
    pub xclient: Attributes,
    /// What `XFORWARD` takes.
    pub xforward: Attributes,
}

impl Capabilities {
    /// What of it decides whether mail can ever go there.
    #[must_use]
    pub fn manners(self) -> Manners {
        Manners {
            octets_max: self.size.filter(|limit| *limit > 0),
            eight_bit_mime: self.eight_bit_mime,
            smtputf8: self.smtputf8,
        }
    }

    /// Reads the keywords, in any case; the first line is the server's name.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "SIZE" => offered.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "DSN" => offered.dsn = true,
                "STARTTLS" => offered.starttls = true,
                "REQUIRETLS" => offered.require_tls = true,
                "XCLIENT" => offered.xclient = Attributes::parse(words),
                "XFORWARD" => offered.xforward = Attributes::parse(words),
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(octets: &[u8]) -> Result<(usize, Option<Reply>), WireError> {
        ReplyReader::default().feed(octets)
    }

    #[test]
    fn loose_replies_are_understood() {
        let whole = |octets: &[u8]| read(octets).unwrap().1.unwrap();
        assert_eq!(whole(b"220\r\n").canonical(), "220 \r\n");
        assert_eq!(whole(b"250 Nachricht \xfcbernommen\n").canonical(), "250 Nachricht ?bernommen\r\n");
        assert_eq!(whole(b"250-a\n250-b\r\n250 c\r\r\n").canonical(), "250-a\r\n250-b\r\n250 c\r\n");
        assert_eq!(whole(b"200-a\r\n250 b\r\n").canonical(), "250-a\r\n250 b\r\n");
        assert_eq!(whole(b"271 odd\r\n").code, 200);
        assert_eq!(whole(b"250-\r\n250\r\n").canonical(), "250-\r\n250 \r\n");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for octets in [&b"\r\n"[..], b"SSH-2.0-x\r\n", b"25\r\n", b"250x\r\n", b"150 a\r\n", b"650 a\r\n"] {
            assert_eq!(read(octets), Err(WireError::Malformed), "{octets:?}");
        }
    }

    #[test]
    fn a_reply_ends_where_it_ends_and_memory_is_bounded() {
        assert_eq!(read(b"220 go\r\n250 evil\r\n").unwrap().0, 8);
        let mut reader = ReplyReader::default();
        assert_eq!(reader.feed(&vec![b'2'; REPLY_OCTETS_MAX]), Ok((REPLY_OCTETS_MAX, None)));
        assert!(reader.line.len() <= REPLY_LINE_CHARS_MAX + 4);
        assert_eq!(reader.feed(b"2"), Err(WireError::TooLong));
        let long = read(format!("250 {}\r\n", "a".repeat(5000)).as_bytes()).unwrap().1.unwrap();
        assert_eq!(long.lines[0].len(), REPLY_LINE_CHARS_MAX);
    }

    #[test]
    fn capabilities_are_read_in_any_case() {
        let (_, reply) = read(b"250-mx STARTTLS\r\n250-size 1000\r\n250-Pipelining\r\n250 DSN\r\n").unwrap();
        let offered = Capabilities::parse(&reply.unwrap());
        assert_eq!(offered, Capabilities { size: Some(1000), pipelining: true, dsn: true, ..Default::default() });
    }

    #[test]
    fn enhanced_codes_are_recognised() {
        let enhanced = |text: &str| Reply { code: 452, lines: vec![text.to_owned()] }.enhanced().map(str::to_owned);
        assert_eq!(enhanced("4.5.3 too many"), Some("4.5.3".to_owned()));
        assert_eq!(enhanced("1.2.3.4 is blocked"), None);
        assert_eq!(enhanced("4.5 x"), None);
        assert_eq!(enhanced("too many"), None);
    }

    proptest! {
        #[test]
        fn any_octets_in_any_pieces_give_the_same_strict_reply(
            octets in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200
        ) {
            let octets = [b"250-", octets.as_slice()].concat();
            let cut = cut.min(octets.len());
            let whole = read(&octets);
            let mut reader = ReplyReader::default();
            let split = match reader.feed(&octets[..cut]) {
                Ok((_, None)) => reader.feed(&octets[cut..]).map(|(n, reply)| (n + cut, reply)),
                early => early,
            };
            prop_assert_eq!(&whole, &split);
            if let Ok((_, Some(reply))) = whole {
                let strict = reply.canonical();
                prop_assert!(strict.is_ascii() && strict.ends_with("\r\n"));
                let (n, again) = read(strict.as_bytes()).unwrap();
                prop_assert_eq!((n, again), (strict.len(), Some(reply)));
            }
        }
    }
}
