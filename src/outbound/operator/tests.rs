//! What goes on to the operator, what does not, and how fast.

use mail_parser::{MessageParser, MimeHeaders};

use super::*;

fn at(second: i64) -> WallTime {
    chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text, true).unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn written(attached: &[u8], octets: u64, subject: &str) -> Vec<u8> {
    let (from, to, hostname) =
        (mailbox("mailer-daemon@mx2.example"), mailbox("chef@haus.example"), name("mx2.example"));
    let (mail, smtputf8) = letter(Letter {
        writer: Writer { from: &from, hostname: &hostname },
        to: &to,
        id: SpoolId::from_i64(77),
        accepted_at: at(0),
        sender: "angry@stranger.example",
        recipient: "abuse@mx2.example",
        subject,
        octets,
        attached,
        now: at(5),
    })
    .unwrap();
    assert!(!smtputf8 && mail.len() < super::super::model::CONTENT_OCTETS_MAX);
    mail
}

#[test]
fn the_message_goes_along_as_it_came_and_the_letter_bears_the_mark() {
    let message = b"Subject: spam from you\r\n\r\nplease stop\r\n";
    let mail = written(message, message.len() as u64, "spam from you\r\nBcc: x@y.example");
    let text = String::from_utf8(mail.clone()).unwrap();
    assert!(text.contains("X-Loop: mx2.example\r\n") && text.contains("Auto-Submitted: auto-generated\r\n"), "{text}");
    let read = MessageParser::default().parse(&mail).unwrap();
    assert!(read.header_raw("Bcc").is_none(), "a subject is one line");
    assert_eq!(read.subject(), Some("[abuse@mx2.example] spam from you  Bcc: x@y.example"));
    assert!(read.body_text(0).unwrap().contains("angry@stranger.example"));
    let part = read.attachment(0).unwrap();
    assert!(part.is_message());
    assert_eq!(part.message().unwrap().subject(), Some("spam from you"));
    assert!(text.contains(&format!("\r\n\r\n{}\r\n--", String::from_utf8_lossy(message))), "octet for octet: {text}");
}

#[test]
fn what_not_every_server_can_carry_travels_as_a_file() {
    let long = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(2_000));
    for message in [b"Subject: \xfcber\r\n\r\n\0\r\n".as_slice(), long.as_bytes()] {
        let mail = written(message, message.len() as u64, "x");
        assert!(mail.is_ascii() && mail.split(|octet| *octet == b'\n').all(|line| line.len() < 998));
        let read = MessageParser::default().parse(&mail).unwrap();
        let part = read.attachment(0).unwrap();
        assert_eq!((part.contents(), part.attachment_name().unwrap().ends_with(".eml")), (message, true));
    }
    let cut = vec![b'z'; ATTACHED_OCTETS_MAX];
    let mail = written(&cut, 1_000_000, "x");
    let read = MessageParser::default().parse(&mail).unwrap();
    assert_eq!(read.attachment(0).unwrap().contents(), cut);
    assert!(read.body_text(0).unwrap().contains("Only its beginning is attached"));
}

#[test]
fn nothing_goes_to_ourselves_or_to_a_served_domain() {
    let account = crate::account::Account {
        id: crate::base::AccountId(1),
        name: "firma".parse().unwrap(),
        status: crate::account::AccountStatus::Active,
        status_since: at(0),
        online_mode: None,
        created_at: at(0),
    };
    let domain = crate::account::Domain { name: name("firma.example"), account: account.id, endpoints: vec![] };
    let directory = Directory::new(vec![account], vec![], vec![domain], vec![]);
    let to: Vec<Mailbox> = [
        "a@firma.example",
        "a@mail.firma.example",
        "a@mx2.example",
        "a@sub.mx2.example",
        "a@[192.0.2.1]",
        "chef@haus.example",
        "a@example",
    ]
    .map(mailbox)
    .into();
    let admitted: Vec<String> =
        admitted(&to, &directory, &name("mx2.example")).iter().map(ToString::to_string).collect();
    assert_eq!(admitted, ["chef@haus.example", "a@example"]);
}

#[test]
fn what_came_back_is_known_by_its_mark_or_its_sender() {
    let (from, to, hostname) =
        (mailbox("mailer-daemon@mx2.example"), mailbox("chef@haus.example"), name("mx2.example"));
    let circles = |header: &str, sender: &str| {
        is_circling(header.as_bytes(), sender, &[&to], Writer { from: &from, hostname: &hostname })
    };
    let sent_on = written(b"x\r\n", 3, "x");
    assert!(circles(&String::from_utf8(sent_on).unwrap(), ""));
    assert!(circles("x-loop: MX2.example\r\n", "a@b.example"));
    assert!(circles("Subject: x\r\n", "Chef@haus.example") && circles("", "mailer-daemon@mx2.example"));
    assert!(!circles("Subject: X-Loop: mx2.example\r\nX-Loop: other.example\r\n", "a@b.example"));
}

#[test]
fn an_hour_has_its_number_and_the_floor_waits_for_the_slowest_content() {
    let mut pace = Pace::new(at(0));
    for second in 0..SENT_ON_PER_HOUR {
        assert!(pace.may_send(at(second as i64)));
        pace.note_sent(at(second as i64));
    }
    assert!(!pace.may_send(at(3_599)));
    assert!(pace.may_send(at(3_600)));
    assert!(pace.may_send(at(-100)), "a clock that was set back stops nothing for ever");
    let (old, young) = (SpoolId::first_of(at(-40_000)), SpoolId::first_of(at(-10)));
    for id in [old, young] {
        assert!(pace.is_new(id));
        pace.note_looked_at(id);
    }
    pace.end_round(None, at(0));
    assert!(!pace.is_new(old) && !pace.is_new(young), "below the floor, and kept in mind");
    assert!(pace.is_new(SpoolId::first_of(at(-14_000))), "committed after four hours");
    let open = SpoolId::first_of(at(-17_000));
    pace.end_round(Some(open), at(100_000));
    assert_eq!(pace.floor(), open.max(SpoolId::first_of(at(-18_000))));
}
