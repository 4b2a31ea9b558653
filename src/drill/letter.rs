//! The message of a drill, and what our own door says to it.

use crate::base::{DomainName, Mailbox, SpoolId, WallTime};

/// Says that a message is one of a drill: for filters and for the curious.
pub const FIELD: &str = "X-Pulsemx-Drill";

/// The whole message with CRLF, ASCII only. `name` is drawn for it and makes it one of its kind.
///
/// `Auto-Submitted` (RFC 3834 §5) keeps answering machines silent.
#[must_use]
pub fn text(from: &Mailbox, to: &Mailbox, hostname: &DomainName, name: &str, now: WallTime) -> Vec<u8> {
    let date = now.to_rfc2822();
    let lines = [
        format!("From: pulsemx <{from}>"),
        format!("To: <{to}>"),
        format!("Subject: Fire drill of your backup MX / Feueralarm-Probe Ihres Backup-MX ({name})"),
        format!("Date: {date}"),
        format!("Message-ID: <drill.{name}@{hostname}>"),
        "Auto-Submitted: auto-generated".to_owned(),
        format!("{FIELD}: {name}"),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=us-ascii".to_owned(),
        String::new(),
        "This is a test. Somebody who may do so started a fire drill of your backup MX:".to_owned(),
        "this message was taken in your server's place, held, and delivered as after an".to_owned(),
        "outage. That you can read it shows that it works. Nothing is to be done.".to_owned(),
        String::new(),
        "Dies ist eine Probe. Jemand, der das darf, hat sie gestartet: Diese Nachricht".to_owned(),
        "wurde anstelle Ihres Servers angenommen, gehalten und wie nach einem Ausfall".to_owned(),
        "zugestellt. Dass Sie sie lesen, zeigt, dass es klappt. Es ist nichts zu tun.".to_owned(),
        String::new(),
    ];
    lines.join("\r\n").into_bytes()
}

/// The spool id in our own reply to the final dot (`2.0.0 ID held for ...`), without its code.
///
/// # Errors
/// The reply is no such one: the message went another way. A sentence.
pub fn spool_id(reply: &str) -> Result<SpoolId, String> {
    let id = reply.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    id.ok_or_else(|| format!("our port 25 took the message and named no place in the spool: {reply}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_marked_as_a_test_and_fits_in_ascii() {
        let mailbox = |text| Mailbox::parse(text, false).unwrap();
        let host = DomainName::parse("mx.pulsemx.example").unwrap();
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (from, to) = (mailbox("postmaster@mx.pulsemx.example"), mailbox("postmaster@firma.example"));
        let text = String::from_utf8(text(&from, &to, &host, "k3x9", now)).unwrap();
        assert!(text.is_ascii());
        assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        for field in [
            "Message-ID: <drill.k3x9@mx.pulsemx.example>",
            "X-Pulsemx-Drill: k3x9",
            "Auto-Submitted: auto-generated",
            "To: <postmaster@firma.example>",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        ] {
            assert!(head.lines().any(|line| line == field), "{field}: {head}");
        }
    }

    #[test]
    fn the_id_is_read_from_our_own_reply_and_from_no_other() {
        let id = SpoolId::from_i64(4_711);
        for said in
            [format!("2.0.0 {id} stored, on its way to firma.example"), format!("2.0.0 {id} held for firma.example")]
        {
            assert_eq!(spool_id(&said), Ok(id), "{said}");
        }
        for other in ["2.0.0 Ok: queued as 4fGh2", "", "2.0.0"] {
            assert!(spool_id(other).is_err(), "{other}");
        }
    }
}
