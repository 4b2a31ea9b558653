//! Mail for `<Postmaster>`, and for postmaster and abuse at our own name: which of it is sent on to the operator's alert
//! address, how fast, and in what wrapping. It stays here all the same.
//!
//! It leaves as a new mail of our own with the message attached, from the null reverse-path: nothing of it can come back,
//! and no receiver takes us for its sender. What bears our mark has been sent on once and came back by some forward.

use std::collections::BTreeSet;
use std::time::Duration;

use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

use super::compose::{Writer, begin, clean, written};
use crate::account::Directory;
use crate::base::{DomainName, Mailbox, SpoolId, WallTime};

pub mod driver;

/// Messages sent on in an hour, to all addresses together: a person reads them. The rest follows in later hours.
pub const SENT_ON_PER_HOUR: usize = 20;

/// Mail older than that stays where it is: the rows that say what was sent on live longer than this.
pub const SENT_ON_WITHIN: Duration = Duration::from_secs(7 * 86_400);

/// Longest time from the name of a message to its commit: a content may take four hours
/// ([`Patience::content_total`](crate::smtp::Patience)), and chunks add to that.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5 * 3_600);

/// Octets of the message that go along; of a longer one its beginning does. In Base64 and with the rest of the mail it stays
/// below [`CONTENT_OCTETS_MAX`](super::model::CONTENT_OCTETS_MAX).
pub const ATTACHED_OCTETS_MAX: usize = 40 * 1024;

/// Field by which mail that was sent on is known again (RFC 3834 §3.1.8 leaves such marks to us).
pub const MARK: &str = "X-Loop";

/// Addresses of the operator to which mail may go: outside of everything that is served here, since mail there would wait
/// with what it speaks of, and not at our own name, where it would begin anew.
#[must_use]
pub fn admitted<'a>(to: &'a [Mailbox], directory: &Directory, own: &DomainName) -> Vec<&'a Mailbox> {
    let is_ours = |domain: &DomainName| {
        let mut rest = Some(domain.as_str());
        while let Some(name) = rest {
            let parsed = DomainName::parse(name).ok();
            if parsed.is_some_and(|name| name == *own || directory.served(&name).is_some()) {
                return true;
            }
            rest = name.split_once('.').map(|(_, above)| above);
        }
        false
    };
    to.iter().filter(|mailbox| mailbox.domain().is_some_and(|domain| !is_ours(domain))).collect()
}

/// Whether a message was sent on before, or comes from those it would go to: sending it on would be a circle.
#[must_use]
pub fn is_circling(header: &[u8], sender: &str, to: &[&Mailbox], writer: Writer<'_>) -> bool {
    let same = |mailbox: &Mailbox| mailbox.to_string().eq_ignore_ascii_case(sender);
    let mark = format!("{MARK}: {}", writer.hostname);
    let lines = header.split(|octet| *octet == b'\n').map(|line| line.trim_ascii_end());
    let is_marked = lines.into_iter().any(|line| line.eq_ignore_ascii_case(mark.as_bytes()));
    is_marked || same(writer.from) || to.iter().any(|mailbox| same(mailbox))
}

/// What goes to the operator.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Who writes.
    pub writer: Writer<'a>,
    /// To whom.
    pub to: &'a Mailbox,
    /// Which message.
    pub id: SpoolId,
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// Its sender, empty for the null reverse-path.
    pub sender: &'a str,
    /// The mailbox it was for.
    pub recipient: &'a str,
    /// `Subject` as it came.
    pub subject: &'a str,
    /// Its octets in all.
    pub octets: u64,
    /// The message from its beginning, at most [`ATTACHED_OCTETS_MAX`].
    pub attached: &'a [u8],
    /// Now.
    pub now: WallTime,
}

/// Writes it, and whether it needs SMTPUTF8. None for an address that cannot stand in a header.
#[must_use]
pub fn letter(letter: Letter<'_>) -> Option<(Vec<u8>, bool)> {
    let to = letter.to.to_string();
    let sender = if letter.sender.is_empty() { "<>" } else { letter.sender };
    let is_whole = letter.octets == letter.attached.len() as u64;
    let cut = if is_whole { "" } else { " Angehängt ist nur der Anfang. / Only its beginning is attached." };
    let text = format!(
        "Eine Nachricht für {0}, von {1}, angenommen {2}.{cut}\r\nSie bleibt hier liegen: pulsemx queue show {3} --content; \
         erledigt: pulsemx queue drop {3} --yes\r\n\r\nA message for {0} from {1}, accepted {2}.\r\nIt stays here: pulsemx queue \
         show {3} --content; when done: pulsemx queue drop {3} --yes\r\n",
        clean(letter.recipient, true),
        clean(sender, true),
        letter.accepted_at.format("%Y-%m-%d %H:%M UTC"),
        letter.id,
    );
    let subject: String = clean(letter.subject.trim(), true).chars().take(120).collect();
    let local_part = letter.recipient.rsplit_once('@').map_or(letter.recipient, |(local_part, _)| local_part);
    let subject = format!("[{}@{}] {subject}", clean(local_part, true), letter.writer.hostname);
    let id = format!("operator.{}", letter.id);
    let mail = begin(letter.writer, &to, subject, &id, letter.now)?
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header(MARK, Raw::new(letter.writer.hostname.to_string()));
    let text = MimePart::new("text/plain", BodyPart::Text(text.into()));
    let body = MimePart::new("multipart/mixed", BodyPart::Multipart(vec![text, attachment(&letter)]));
    Some((written(mail, body)?, !to.is_ascii()))
}

/// As a message where every server can carry it so (RFC 2046 §5.2.1 has it in 7bit), else as a file.
fn attachment<'a>(letter: &Letter<'a>) -> MimePart<'a> {
    let name = format!("{}.eml", letter.id);
    let is_plain = letter.octets == letter.attached.len() as u64
        && letter.attached.iter().all(|octet| octet.is_ascii() && *octet != 0)
        && letter.attached.split(|octet| *octet == b'\n').all(|line| line.len() < 998);
    let (kind, encoding) = if is_plain { ("message/rfc822", "7bit") } else { ("application/octet-stream", "base64") };
    let mut part =
        MimePart::new(ContentType::new(kind).attribute("name", name.clone()), BodyPart::Binary(letter.attached.into()));
    part = part.attachment(name);
    if is_plain { part.transfer_encoding(encoding) } else { part }
}

/// Which messages were looked at, and how many were sent on of late.
#[derive(Debug)]
pub struct Pace {
    /// Everything before was looked at.
    floor: SpoolId,
    looked_at: BTreeSet<SpoolId>,
    sent_at: Vec<WallTime>,
}

impl Pace {
    /// Nothing was.
    #[must_use]
    pub fn new(now: WallTime) -> Self {
        Self { floor: SpoolId::first_of(now - SENT_ON_WITHIN), looked_at: BTreeSet::new(), sent_at: Vec::new() }
    }

    /// Where to look from.
    #[must_use]
    pub const fn floor(&self) -> SpoolId {
        self.floor
    }

    /// Whether a message is still to be looked at.
    #[must_use]
    pub fn is_new(&self, id: SpoolId) -> bool {
        id >= self.floor && !self.looked_at.contains(&id)
    }

    /// Whether one more may be sent on now.
    pub fn may_send(&mut self, now: WallTime) -> bool {
        self.sent_at.retain(|at| now - *at < chrono::TimeDelta::hours(1) && *at <= now);
        self.sent_at.len() < SENT_ON_PER_HOUR
    }

    /// One was.
    pub fn note_sent(&mut self, now: WallTime) {
        self.sent_at.push(now);
    }

    /// A message needs no further look.
    pub fn note_looked_at(&mut self, id: SpoolId) {
        self.looked_at.insert(id);
    }

    /// A round is over; `open` is the first message that is still to be looked at. What is older than any message that
    /// may still be committed is forgotten.
    pub fn end_round(&mut self, open: Option<SpoolId>, now: WallTime) {
        let settled = SpoolId::first_of(now - COMMITTED_WITHIN);
        self.floor = self.floor.max(open.map_or(settled, |open| open.min(settled)));
        self.looked_at = self.looked_at.split_off(&self.floor);
    }
}

#[cfg(test)]
mod tests;
