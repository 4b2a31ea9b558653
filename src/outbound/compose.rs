//! Writes reports (RFC 3464, RFC 6522, RFC 6533) and the digest of a quarantine. MIME is a library's; the fields of a
//! delivery status are written here.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::{BodyPart, MimePart};

use super::decide::enhanced;
use super::model::{Case, CaseRecipient};
use crate::base::{DomainName, Mailbox, ReversePath, WallTime};
use crate::spool::{NoticeKind, RecipientState};

/// Octets of the original header that a report brings back, at most; cut at the end of a line.
pub const HEADER_OCTETS_MAX: usize = 16 * 1024;

/// Octets of a line that may travel as it is (RFC 5322 §2.1.1).
const LINE_OCTETS_MAX: usize = 998;

/// Recipients of one report, at most; more are told in words that there are more.
const RECIPIENTS_SHOWN_MAX: usize = 50;

/// Rows of one digest.
pub const DIGEST_ROWS_MAX: usize = 50;

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// In `From`.
    pub from: &'a Mailbox,
    /// This server.
    pub hostname: &'a DomainName,
}

/// What a report needs beside its case.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Who writes.
    pub writer: Writer<'a>,
    /// Whom the report names.
    pub told: &'a [u32],
    /// Header section of the message, as far as it is still here.
    pub header: &'a [u8],
    /// The primary of a recipient.
    pub remote: &'a dyn Fn(&CaseRecipient) -> Option<DomainName>,
    /// Until when a delayed message is tried.
    pub retry_until: WallTime,
    /// Now.
    pub now: WallTime,
}

/// Writes the report of a case, and whether it needs SMTPUTF8. `None` for a sender that cannot be written to.
#[must_use]
pub fn report(case: &Case, report: Report<'_>) -> Option<(Vec<u8>, bool)> {
    let ReversePath::Mailbox(sender) = &case.reverse_path else { return None };
    let to = sender.to_string();
    let first = report.told.first()?;
    let is_utf8 = !to.is_ascii();
    let told: Vec<&CaseRecipient> =
        case.recipients.iter().filter(|recipient| report.told.contains(&recipient.ordinal)).collect();
    let status = status_part(case, &told, report, is_utf8);
    let status_type = if is_utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    let status = MimePart::new(ContentType::new(status_type), BodyPart::Binary(status.into_bytes().into()))
        .transfer_encoding(if is_utf8 { "8bit" } else { "7bit" });
    let text = MimePart::new("text/plain", BodyPart::Text(text_part(case, &told, report).into()));
    let body = MimePart::new(
        ContentType::new("multipart/report").attribute("report-type", "delivery-status"),
        BodyPart::Multipart(vec![text, status, header_part(case, report.header)]),
    );
    let id = format!("{}.{first}.{}", case.message, case.kind);
    let mut mail = begin(report.writer, &to, subject(case.kind), &id, report.now)?;
    mail = mail.header("Auto-Submitted", Raw::new("auto-replied"));
    if let Some(original) = message_id(&case.header.message_id) {
        mail = mail.header("In-Reply-To", Raw::new(original.clone())).header("References", Raw::new(original));
    }
    Some((written(mail, body)?, is_utf8))
}

pub(super) fn written(mail: MessageBuilder<'_>, body: MimePart<'_>) -> Option<Vec<u8>> {
    mail.body(body).write_to_vec().ok()
}

/// The header of every mail from here. `None` for an address that cannot stand in a header.
pub(super) fn begin<'x>(
    writer: Writer<'x>,
    to: &str,
    subject: impl Into<Text<'x>>,
    id: &str,
    now: WallTime,
) -> Option<MessageBuilder<'x>> {
    if to.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) || to.len() > LINE_OCTETS_MAX - 8 {
        return None;
    }
    let from = Address::new_address(Some("Mail Delivery System"), writer.from.to_string());
    let mail = MessageBuilder::new()
        .from(from)
        .header("To", Raw::new(format!("<{to}>")))
        .subject(subject)
        .date(Date::new(now.timestamp()))
        .header("Message-ID", Raw::new(format!("<{id}@{}>", writer.hostname)));
    Some(mail)
}

const fn subject(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Failed => "Unzustellbar / Undelivered mail",
        NoticeKind::Relayed => "Weitergegeben / Mail relayed",
        NoticeKind::Delayed => "Verspätet / Mail delayed",
    }
}

/// A `Message-ID` that can be quoted.
fn message_id(raw: &str) -> Option<String> {
    let id = raw.trim();
    let inner = id.strip_prefix('<')?.strip_suffix('>')?;
    let is_good = inner.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>'));
    (is_good && !inner.is_empty()).then(|| id.to_owned())
}

/// RFC 3464 §2: fields for the message, then for each recipient.
fn status_part(case: &Case, told: &[&CaseRecipient], report: Report<'_>, is_utf8: bool) -> String {
    let mut text = format!("Reporting-MTA: dns; {}\r\n", report.writer.hostname);
    let mut field = |name: &str, value: &str| {
        text.push_str(&format!("{name}: {}\r\n", clean(value, is_utf8)));
    };
    if let Some(id) = &case.dsn.envelope_id {
        field("Original-Envelope-Id", id);
    }
    field("Arrival-Date", &case.accepted_at.to_rfc2822());
    for recipient in told {
        text.push_str("\r\n");
        let mut field = |name: &str, value: &str| {
            text.push_str(&format!("{name}: {}\r\n", clean(value, is_utf8)));
        };
        if let Some((kind, address)) = recipient.dsn.original_recipient.as_deref().and_then(|said| said.split_once(';'))
        {
            field("Original-Recipient", &format!("{kind}; {}", address_text(address, is_utf8)));
        }
        let mailbox = recipient.mailbox.to_string();
        let kind = if mailbox.is_ascii() { "rfc822" } else { "utf-8" };
        field("Final-Recipient", &format!("{kind}; {}", address_text(&mailbox, is_utf8)));
        field("Action", case.kind.as_str());
        field("Status", &status(case.kind, recipient));
        if let Some(host) = (report.remote)(recipient) {
            field("Remote-MTA", &format!("dns; {host}"));
        }
        if let Some((code, reply)) = recipient.reply.as_ref().and_then(|reply| reply.code.map(|code| (code, reply))) {
            field("Diagnostic-Code", &format!("smtp; {code} {}", reply.text));
        }
        if let Some(at) = recipient.last_attempt_at {
            field("Last-Attempt-Date", &at.to_rfc2822());
        }
        if case.kind == NoticeKind::Delayed {
            field("Will-Retry-Until", &report.retry_until.to_rfc2822());
        }
    }
    text
}

/// A value of one line: no control characters, and ASCII unless the whole report is UTF-8.
pub(super) fn clean(value: &str, is_utf8: bool) -> String {
    let fit = |c: char| match c {
        c if c.is_control() => ' ',
        c if c.is_ascii() || is_utf8 => c,
        _ => '?',
    };
    value.chars().map(fit).take(LINE_OCTETS_MAX / 2).collect()
}

/// An address in a report of ASCII: the form `utf-8-addr-xtext` of RFC 6533 §3.
fn address_text(address: &str, is_utf8: bool) -> String {
    if is_utf8 || address.is_ascii() {
        return address.to_owned();
    }
    let mut text = String::new();
    for c in address.chars() {
        match c {
            '+' | '=' | '\\' => text.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
            c if c.is_ascii_graphic() => text.push(c),
            c => text.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    text
}

/// RFC 3463 §2. What the primary said, where that is of the right class.
fn status(kind: NoticeKind, recipient: &CaseRecipient) -> String {
    let said = recipient.reply.as_ref().and_then(|reply| enhanced(&reply.text));
    match kind {
        NoticeKind::Relayed => "2.0.0".to_owned(),
        NoticeKind::Delayed => said.filter(|code| code.starts_with('4')).unwrap_or("4.4.1").to_owned(),
        // Delivery time expired.
        NoticeKind::Failed if recipient.state == RecipientState::Expired => "4.4.7".to_owned(),
        NoticeKind::Failed => said.filter(|code| code.starts_with('5')).unwrap_or("5.0.0").to_owned(),
    }
}

/// The header of the message, never its body (RFC 6522 §4); as base64 where it is not ASCII (RFC 6533 §5).
fn header_part(case: &Case, section: &[u8]) -> MimePart<'static> {
    let header = kept_header(case, section);
    let is_plain = header.is_ascii() && header.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE_OCTETS_MAX);
    if is_plain {
        let kind = ContentType::new("text/rfc822-headers").attribute("charset", "us-ascii");
        return MimePart::new(kind, BodyPart::Binary(header.into())).transfer_encoding("7bit");
    }
    MimePart::new(ContentType::new("message/global-headers"), BodyPart::Binary(header.into()))
}

/// As much as a report brings back; from the envelope where the content is gone.
fn kept_header(case: &Case, section: &[u8]) -> Vec<u8> {
    let whole =
        section.strip_suffix(b"\r\n\r\n").map_or(section, |_| section.get(..section.len() - 2).unwrap_or_default());
    if whole.is_empty() {
        let fields =
            [("From", &case.header.from), ("Subject", &case.header.subject), ("Message-ID", &case.header.message_id)];
        let known = fields.iter().filter(|(_, value)| !value.trim().is_empty());
        let lines: Vec<String> =
            known.map(|(name, value)| format!("{name}: {}\r\n", clean(value.trim(), true))).collect();
        return lines.concat().into_bytes();
    }
    if whole.len() <= HEADER_OCTETS_MAX {
        return whole.to_vec();
    }
    let cut = whole.get(..HEADER_OCTETS_MAX).unwrap_or(whole);
    let end = memchr::memmem::rfind(cut, b"\r\n").map_or(0, |at| at + 2);
    cut.get(..end).unwrap_or_default().to_vec()
}

/// The part for people, German and English.
fn text_part(case: &Case, told: &[&CaseRecipient], report: Report<'_>) -> String {
    let list = |answer: &str, more: &str| {
        let mut text = String::new();
        for recipient in told.iter().take(RECIPIENTS_SHOWN_MAX) {
            text.push_str(&format!("  {}\r\n", clean(&recipient.mailbox.to_string(), true)));
            if let Some(reply) = &recipient.reply {
                let code = reply.code.map(|code| format!("{code} ")).unwrap_or_default();
                let who = (report.remote)(recipient).map(|host| format!(" {host}")).unwrap_or_default();
                text.push_str(&format!("    {answer}{who}: {code}{}\r\n", clean(&reply.text, true)));
            }
        }
        if told.len() > RECIPIENTS_SHOWN_MAX {
            text.push_str(&format!("  {more} {}\r\n", told.len() - RECIPIENTS_SHOWN_MAX));
        }
        text
    };
    let (date, host) = (case.accepted_at.to_rfc2822(), report.writer.hostname);
    let until = report.retry_until.to_rfc2822();
    let (german, english) = match case.kind {
        NoticeKind::Failed => (
            "konnte diesen Empfängern nicht zugestellt werden und wird nicht weiter versucht:".to_owned(),
            "could not be delivered to these recipients and will not be tried again:".to_owned(),
        ),
        NoticeKind::Relayed => (
            "wurde an den Mailserver dieser Empfänger übergeben. Er meldet selbst keine Zustellung:".to_owned(),
            "was handed to the mail server of these recipients. It sends no notice of delivery itself:".to_owned(),
        ),
        NoticeKind::Delayed => (
            format!(
                "wartet, weil der Mailserver dieser Empfänger nicht erreichbar ist. Sie wird bis {until} weiter versucht; bitte senden Sie sie nicht noch einmal:"
            ),
            format!(
                "waits, because the mail server of these recipients cannot be reached. It is tried until {until}; please do not send it again:"
            ),
        ),
    };
    format!(
        "English below.\r\n\r\nDies ist eine automatische Nachricht von {host}.\r\n\r\nIhre Nachricht vom {date} {german}\r\n\r\n{}\r\n\
         --\r\n\r\nThis is an automatic message from {host}.\r\n\r\nYour message of {date} {english}\r\n\r\n{}",
        list("Antwort des Mailservers", "und weitere:"),
        list("answer of the mail server", "and more:"),
    )
}

/// One message in a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestRow {
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// Its sender.
    pub from: String,
    /// For whom it is.
    pub to: String,
    /// Raw subject.
    pub subject: String,
    /// Why it was not delivered.
    pub why: String,
}

/// What a digest is about.
#[derive(Clone, Copy, Debug)]
pub struct Digest<'a> {
    /// Who writes.
    pub writer: Writer<'a>,
    /// To whom.
    pub to: &'a Mailbox,
    /// Name of the account.
    pub account: &'a str,
    /// Messages in quarantine.
    pub total: u64,
    /// The first of them, at most [`DIGEST_ROWS_MAX`] are shown.
    pub rows: &'a [DigestRow],
    /// Where the page is.
    pub page: &'a str,
    /// Days for which they are kept.
    pub days: u64,
    /// Names the mail among others.
    pub tag: &'a str,
    /// Now.
    pub now: WallTime,
}

/// Characters of one column.
const COLUMN_CHARS_MAX: usize = 120;

/// Writes the digest of a quarantine, and whether it needs SMTPUTF8.
#[must_use]
pub fn digest(digest: Digest<'_>) -> Option<(Vec<u8>, bool)> {
    let Digest { account, total, page, days, .. } = digest;
    let column = |text: &str| -> String { clean(text.trim(), true).chars().take(COLUMN_CHARS_MAX).collect() };
    let mut list = String::new();
    for row in digest.rows.iter().take(DIGEST_ROWS_MAX) {
        let (from, to) = (column(&row.from), column(&row.to));
        let from = if from.is_empty() { "<>".to_owned() } else { from };
        list.push_str(&format!(
            "{}  {from} -> {to}\r\n    {}\r\n    {}\r\n\r\n",
            row.accepted_at.format("%Y-%m-%d %H:%M UTC"),
            column(&row.subject),
            column(&row.why)
        ));
    }
    let text = format!(
        "English below.\r\n\r\nFür {account} liegen {total} Nachrichten, die der Mailserver nicht angenommen hat. Sie werden {days} Tage \
         aufbewahrt; auf {page} können sie erneut zugestellt oder gelöscht werden.\r\n\r\nFor {account} {total} messages are kept that the \
         mail server did not take. They are kept for {days} days; on {page} they can be sent again or deleted.\r\n\r\n{list}"
    );
    let to = digest.to.to_string();
    let mail = begin(digest.writer, &to, "Nicht zugestellte Nachrichten / Mail not delivered", digest.tag, digest.now)?
        .header("Auto-Submitted", Raw::new("auto-generated"));
    let body = MimePart::new("text/plain", BodyPart::Text(text.into()));
    Some((written(mail, body)?, !to.is_ascii()))
}

/// Writes an alert, and whether it needs SMTPUTF8.
#[must_use]
pub fn alert(
    writer: Writer<'_>,
    to: &Mailbox,
    (subject, text): (&str, &str),
    tag: &str,
    now: WallTime,
) -> Option<(Vec<u8>, bool)> {
    let to = to.to_string();
    let mail = begin(writer, &to, clean(subject, true), tag, now)?.header("Auto-Submitted", Raw::new("auto-generated"));
    let body = MimePart::new("text/plain", BodyPart::Text(text.into()));
    Some((written(mail, body)?, !to.is_ascii()))
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
