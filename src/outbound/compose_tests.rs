//! What is written is read back by another library.

use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::super::model::Case;
use super::super::sample::{at, case, recipient};
use super::*;
use crate::delivery::content::ContentEncoder;
use crate::spool::{MessageDsn, RecipientDsn};

const HEADER: &[u8] =
    b"From: Alice <alice@sender.example>\r\nSubject: Angebot\r\nMessage-ID: <1@sender.example>\r\n\r\n";

fn write(case: &Case, told: &[u32], header: &[u8]) -> (String, bool) {
    let (from, hostname) =
        (Mailbox::parse("mailer-daemon@mx2.example", false).unwrap(), DomainName::parse("mx2.example").unwrap());
    let (octets, is_utf8) = report(
        case,
        Report {
            writer: Writer { from: &from, hostname: &hostname },
            told,
            header,
            remote: &|_| DomainName::parse("firma.dyn.example").ok(),
            retry_until: at(30 * 86_400),
            now: at(100),
        },
    )
    .unwrap();
    ContentEncoder::default().content(&octets, &mut Vec::new()).expect("no bare CR or LF");
    assert!(octets.split(|octet| *octet == b'\n').all(|line| line.len() <= 999));
    (String::from_utf8(octets).unwrap(), is_utf8)
}

/// Type and decoded text of each part.
fn parts(text: &str) -> Vec<(String, String)> {
    let message = MessageParser::default().parse(text.as_bytes()).unwrap();
    let kind = |part: &mail_parser::MessagePart<'_>| {
        let kind = part.content_type().unwrap();
        format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
    };
    let text = |part: &mail_parser::MessagePart<'_>| String::from_utf8(part.contents().to_vec()).unwrap();
    message.parts.iter().skip(1).map(|part| (kind(part), text(part))).collect()
}

#[test]
fn a_report_has_its_three_parts_and_every_field() {
    let mut case = case();
    case.dsn = MessageDsn { ret: None, envelope_id: Some("QQ 314".to_owned()) };
    case.recipients[0].dsn =
        RecipientDsn { notify: None, original_recipient: Some("rfc822;bob@old.example".to_owned()) };
    let (text, is_utf8) = write(&case, &[0], HEADER);
    assert!(!is_utf8 && text.is_ascii());
    let message = MessageParser::default().parse(text.as_bytes()).unwrap();
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype(), kind.attribute("report-type")), {
        ("multipart", Some("report"), Some("delivery-status"))
    });
    assert_eq!(message.header_raw("Auto-Submitted").unwrap().trim(), "auto-replied");
    assert_eq!(message.header_raw("In-Reply-To").unwrap().trim(), "<1@sender.example>");
    assert_eq!(message.header_raw("To").unwrap().trim(), "<alice@sender.example>");
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("mailer-daemon@mx2.example"));
    assert!(message.message_id().unwrap().ends_with("@mx2.example"));
    let parts = parts(&text);
    let kinds: Vec<&str> = parts.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
    for words in ["konnte diesen Empfängern nicht", "could not be delivered", "bob@firma.example", "no such user"] {
        assert!(parts[0].1.contains(words), "{words}: {}", parts[0].1);
    }
    let expected = "Reporting-MTA: dns; mx2.example\r\nOriginal-Envelope-Id: QQ 314\r\n\
        Arrival-Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n\r\n\
        Original-Recipient: rfc822; bob@old.example\r\nFinal-Recipient: rfc822; bob@firma.example\r\n\
        Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; firma.dyn.example\r\n\
        Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: Fri, 15 Jan 2027 08:01:00 +0000";
    assert_eq!(parts[1].1.trim_end(), expected);
    assert!(parts[2].1.contains("Subject: Angebot") && !text.contains("body"));
}

#[test]
fn all_failed_recipients_stand_in_one_report_and_the_others_do_not() {
    let mut case = case();
    case.recipients.push(recipient(1, "eve@firma.example", 554, "spam"));
    case.recipients.push(recipient(2, "max@firma.example", 550, "unknown"));
    let (text, _) = write(&case, &[0, 2], HEADER);
    let status = &parts(&text)[1].1;
    assert_eq!(status.matches("Final-Recipient").count(), 2);
    assert!(status.contains("max@firma.example") && !text.contains("eve@"));
    assert!(status.contains("Status: 5.0.0"));
}

#[test]
fn an_expired_a_relayed_and_a_delayed_message_say_so() {
    let mut case = case();
    case.recipients[0].state = RecipientState::Expired;
    assert!(write(&case, &[0], HEADER).0.contains("Status: 4.4.7"));
    case.kind = NoticeKind::Relayed;
    let relayed = write(&case, &[0], b"").0;
    assert!(relayed.contains("Action: relayed") && relayed.contains("Status: 2.0.0"));
    assert!(relayed.contains("Subject: Angebot\r\nMessage-ID: <1@sender.example>"), "from the envelope");
    case.kind = NoticeKind::Delayed;
    let delayed = write(&case, &[0], HEADER).0;
    assert!(delayed.contains("Action: delayed") && delayed.contains("Will-Retry-Until: Sun, 14 Feb 2027"));
}

#[test]
fn a_sender_in_utf8_gets_a_global_report_and_others_get_ascii() {
    let mut case = case();
    case.recipients[0].mailbox = Mailbox::parse("jörg@firma.example", true).unwrap();
    let header = "Subject: Grüße\r\n\r\n".as_bytes();
    let (text, is_utf8) = write(&case, &[0], header);
    assert!(!is_utf8 && text.is_ascii());
    let ascii = parts(&text);
    assert!(ascii[1].1.contains("Final-Recipient: utf-8; j\\x{F6}rg@firma.example"), "{}", ascii[1].1);
    assert_eq!(ascii[2], ("message/global-headers".to_owned(), "Subject: Grüße\r\n".to_owned()));
    case.reverse_path = ReversePath::parse("älice@sender.example", true).unwrap();
    let (text, is_utf8) = write(&case, &[0], header);
    assert!(is_utf8);
    let global = parts(&text);
    assert_eq!(global[1].0, "message/global-delivery-status");
    assert!(global[1].1.contains("utf-8; jörg@firma.example"));
}

#[test]
fn a_long_header_is_cut_at_a_line_and_a_body_never_comes_back() {
    let header = "X-Long: aaaaaaaaaaaaaaaa\r\n".repeat(2_000) + "\r\n";
    let (text, _) = write(&case(), &[0], header.as_bytes());
    let kept = &parts(&text)[2].1;
    assert!(kept.len() <= HEADER_OCTETS_MAX && kept.len() > HEADER_OCTETS_MAX - 100);
    assert!(kept.trim_end().ends_with("X-Long: aaaaaaaaaaaaaaaa"));
}

#[test]
fn a_digest_names_what_is_kept_and_where() {
    let (from, hostname) =
        (Mailbox::parse("mailer-daemon@mx2.example", false).unwrap(), DomainName::parse("mx2.example").unwrap());
    let row = DigestRow {
        accepted_at: at(0),
        from: String::new(),
        to: "bob@firma.example".to_owned(),
        subject: "Hi\r\nX-Evil: 1".to_owned(),
        why: "550 5.7.1 spam".to_owned(),
    };
    let to = Mailbox::parse("chef@privat.example", false).unwrap();
    let rows = vec![row; 60];
    let (octets, is_utf8) = digest(Digest {
        writer: Writer { from: &from, hostname: &hostname },
        to: &to,
        account: "firma",
        total: 60,
        rows: &rows,
        page: "https://mx2.example",
        days: 30,
        tag: "digest.1",
        now: at(0),
    })
    .unwrap();
    ContentEncoder::default().content(&octets, &mut Vec::new()).expect("no bare CR or LF");
    let message = MessageParser::default().parse(&octets).unwrap();
    let text = message.body_text(0).unwrap();
    assert!(!is_utf8 && text.contains("60 messages are kept") && text.contains("https://mx2.example"));
    assert_eq!(text.matches("<> -> bob@firma.example").count(), DIGEST_ROWS_MAX);
    assert!(text.contains("Hi  X-Evil: 1") && message.header_raw("X-Evil").is_none());
}

proptest! {
    #[test]
    fn nothing_that_a_stranger_chose_breaks_out_of_its_field(
        envid in "[ -~\u{0}-\u{1f}ä]{0,60}", orcpt in "rfc822;[ -~\u{0}-\u{1f}ä]{0,60}", reply in "[ -~\u{0}-\u{1f}ü]{0,80}",
        id in "[ -~\u{0}-\u{1f}]{0,40}"
    ) {
        let mut case = case();
        case.dsn.envelope_id = Some(envid);
        case.header.message_id = id;
        case.recipients[0].dsn.original_recipient = Some(orcpt);
        case.recipients[0].reply = Some(crate::spool::DeliveryReply { code: Some(550), text: reply });
        let (text, _) = write(&case, &[0], HEADER);
        prop_assert!(text.is_ascii());
        let parts = parts(&text);
        prop_assert_eq!(parts.len(), 3);
        let lines: Vec<&str> = parts[1].1.trim_end().split("\r\n").collect();
        prop_assert_eq!(lines.len(), 11, "{:?}", lines);
    }
}
