//! Looks at the header of a content as it passes: three fields for the page, and how many hosts it has seen.
//!
//! Never a parser: no folding is undone beyond joining lines, no encoding is read, and nothing here changes an octet.

use super::settings::RECEIVED_LINES_MAX;
use crate::spool::HeaderSummary;

/// Octets of a field shown on the page.
pub const FIELD_OCTETS_MAX: usize = 255;
/// Octets of a line that are looked at: the name of a field and as much of its text as is shown.
const LINE_OCTETS_MAX: usize = FIELD_OCTETS_MAX + 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Subject,
    From,
    MessageId,
    Other,
}

/// Reads a header line by line, in any pieces.
#[derive(Debug)]
pub struct HeaderReader {
    is_over: bool,
    line: Vec<u8>,
    field: Field,
    received_lines: u32,
    subject: Option<Vec<u8>>,
    from: Option<Vec<u8>>,
    message_id: Option<Vec<u8>>,
    is_bulk: bool,
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self {
            is_over: false,
            line: Vec::new(),
            field: Field::Other,
            received_lines: 0,
            subject: None,
            from: None,
            message_id: None,
            is_bulk: false,
        }
    }
}

impl HeaderReader {
    /// A part of a line without its CRLF.
    pub fn text(&mut self, text: &[u8]) {
        if !self.is_over {
            let room = LINE_OCTETS_MAX.saturating_sub(self.line.len());
            self.line.extend(text.iter().take(room));
        }
    }

    /// The CRLF of a line.
    pub fn line_end(&mut self) {
        if self.is_over {
            return;
        }
        let line = std::mem::take(&mut self.line);
        match line.first() {
            None => self.is_over = true,
            Some(b' ' | b'\t') => self.extend(&line),
            Some(_) => self.begin(&line),
        }
        self.line = line;
        self.line.clear();
    }

    /// Whether the content has been through more hosts than an honest way has (RFC 5321 §6.3).
    #[must_use]
    pub const fn is_loop(&self) -> bool {
        self.received_lines > RECEIVED_LINES_MAX
    }

    fn begin(&mut self, line: &[u8]) {
        self.field = Field::Other;
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let Some((name, text)) = line.split_at_checked(colon) else { return };
        let name = name.trim_ascii_end();
        let text = text.get(1..).unwrap_or_default();
        let (field, place) = if name.eq_ignore_ascii_case(b"received") {
            self.received_lines = self.received_lines.saturating_add(1);
            return;
        } else if name.eq_ignore_ascii_case(b"subject") {
            (Field::Subject, &mut self.subject)
        } else if name.eq_ignore_ascii_case(b"from") {
            (Field::From, &mut self.from)
        } else if name.eq_ignore_ascii_case(b"message-id") {
            (Field::MessageId, &mut self.message_id)
        } else {
            self.is_bulk |= says_bulk(name, text);
            return;
        };
        if place.is_none() {
            *place = Some(text.to_vec());
            self.field = field;
        }
    }

    fn extend(&mut self, line: &[u8]) {
        let place = match self.field {
            Field::Subject => &mut self.subject,
            Field::From => &mut self.from,
            Field::MessageId => &mut self.message_id,
            Field::Other => return,
        };
        if let Some(text) = place {
            let room = LINE_OCTETS_MAX.saturating_sub(text.len());
            text.extend(line.iter().take(room));
        }
    }

    /// The fields seen.
    #[must_use]
    pub fn finish(self) -> HeaderSummary {
        HeaderSummary {
            subject: shown(self.subject),
            from: shown(self.from),
            message_id: shown(self.message_id),
            is_bulk: self.is_bulk,
        }
    }
}

/// Whether a field says that the mail is bulk, a list's or automatic (RFC 2076 §3.9, RFC 2369 §3.2, RFC 2919 §3,
/// RFC 3834 §5). Decides only about the order of delivery.
fn says_bulk(name: &[u8], text: &[u8]) -> bool {
    let word = text.trim_ascii().split(|octet| !octet.is_ascii_alphanumeric() && *octet != b'-').next().unwrap_or(b"");
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let says = |known: &[u8]| word.eq_ignore_ascii_case(known);
    is(b"list-id")
        || is(b"list-unsubscribe")
        || (is(b"precedence") && (says(b"bulk") || says(b"list") || says(b"junk")))
        || (is(b"auto-submitted") && !says(b"no"))
}

/// Cut to length, control characters removed; octets that are no UTF-8 become U+FFFD.
fn shown(text: Option<Vec<u8>>) -> String {
    let text = text.unwrap_or_default();
    let mut clean = String::new();
    for c in String::from_utf8_lossy(text.trim_ascii()).chars() {
        if clean.len() + c.len_utf8() > FIELD_OCTETS_MAX {
            break;
        }
        if c == '\t' {
            clean.push(' ');
        } else if !c.is_control() {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> (HeaderSummary, bool) {
        let mut reader = HeaderReader::default();
        for line in header.split_terminator("\r\n") {
            // In two parts, as packets may divide it.
            let (a, b) = line.as_bytes().split_at(line.len() / 2);
            reader.text(a);
            reader.text(b);
            reader.line_end();
        }
        let is_loop = reader.is_loop();
        (reader.finish(), is_loop)
    }

    #[test]
    fn the_first_of_each_field_is_shown_with_its_folded_lines() {
        let (header, _) = read(
            "SUBJECT: one\r\n two\r\nX: y\r\n z\r\nSubject: three\r\n four\r\nfrom : <a@b>\r\nMessage-ID:\r\n <1@x>\r\n\r\nFrom: body\r\n",
        );
        assert_eq!(header.subject, "one two");
        assert_eq!(header.from, "<a@b>");
        assert_eq!(header.message_id, "<1@x>");
    }

    #[test]
    fn long_and_strange_fields_are_cut_and_cleaned() {
        let (header, _) = read(&format!("Subject: a\u{7}\u{1b}[31mb\tc{}\r\nFrom: {}\r\n", "\u{85}", "ä".repeat(400)));
        assert_eq!(header.subject, "a[31mb c");
        assert!(header.from.len() <= FIELD_OCTETS_MAX && header.from.starts_with("ää"));
    }

    #[test]
    fn bulk_and_automatic_mail_is_known_by_its_fields() {
        for line in ["Precedence: bulk", "precedence:LIST", "List-Id: <a.b>", "Auto-Submitted: auto-replied; x"] {
            assert!(read(&format!("{line}\r\n")).0.is_bulk, "{line}");
        }
        for line in ["Auto-Submitted: no", "Precedence: first-class", "Subject: list", "X-Precedence: bulk"] {
            assert!(!read(&format!("{line}\r\n\r\nList-Id: body\r\n")).0.is_bulk, "{line}");
        }
    }

    #[test]
    fn received_lines_count_only_in_the_header() {
        let line = "ReCeIvEd: from x\r\n\tby y\r\n";
        assert!(!read(&line.repeat(100)).1);
        assert!(read(&line.repeat(101)).1);
        assert!(!read(&format!("{}\r\n{}", line.repeat(100), line.repeat(50))).1);
    }
}
