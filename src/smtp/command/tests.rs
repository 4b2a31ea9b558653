//! Lines that peers send, good and bad.

use proptest::prelude::*;

use super::*;
use crate::base::Mailbox;
use crate::spool::{Notify, Return};

fn code(line: &str) -> u16 {
    parse(line.as_bytes()).unwrap_err().code
}

#[test]
fn verbs_and_keywords_have_no_case() {
    assert_eq!(parse(b"ehlo Mail.Example"), Ok(Command::Ehlo("Mail.Example".to_owned())));
    assert_eq!(parse(b"dAtA"), Ok(Command::Data));
    assert_eq!(parse(b"QUIT  "), Ok(Command::Quit));
    assert!(matches!(parse(b"mail from:<a@b.example> size=7 body=8bitmime"), Ok(Command::Mail(m))
        if m.declared_octets == Some(7) && m.body == BodyType::EightBitMime && !m.smtputf8));
    assert!(matches!(parse(b"Rcpt To:<a@b.example>"), Ok(Command::Rcpt(RcptCommand { is_ascii: true, .. }))));
}

#[test]
fn commands_without_arguments_take_none() {
    for line in ["DATA x", "RSET x", "QUIT now", "STARTTLS junk", "VRFY", "ETRN", "EHLO", "HELO", "EHLO a b"] {
        assert_eq!(code(line), 501, "{line}");
    }
}

#[test]
fn names_that_would_forge_a_trace_line_are_refused() {
    for name in ["a(b)", "a;b", "a\tb", "<a>", "a\"b", "[1.2.3.4", "[]", "a@b", "ä.example", &"a".repeat(256)] {
        assert_eq!(code(&format!("EHLO {name}")), 501, "{name}");
    }
    for name in ["localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]", "under_score.example", "trailing.example."] {
        assert!(parse(format!("EHLO {name}").as_bytes()).is_ok(), "{name}");
    }
}

#[test]
fn octets_that_no_command_has_are_refused() {
    for line in [&b"NOOP \0"[..], b"NOOP \r", b"EHLO a\rMAIL", b"NOOP \x7f", b"NOOP \xff", b"\x16\x03\x01"] {
        assert_eq!(parse(line).unwrap_err().code, 500, "{line:?}");
    }
}

#[test]
fn parameters_are_known_or_refused() {
    assert_eq!(code("MAIL FROM:<a@b.example> NOTIFY=NEVER"), 555);
    assert_eq!(code("MAIL FROM:<a@b.example> AUTH=a=b"), 501);
    assert_eq!(code("MAIL FROM:<a@b.example> AUTH=<> AUTH=<>"), 501);
    assert_eq!(code("RCPT TO:<a@b.example> RET=HDRS"), 555);
    assert_eq!(code("MAIL FROM:<a@b.example> BODY=BINARYMIME"), 555);
    for text in [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=1 SIZE=2",
        "BODY=",
        "BODY",
        "SMTPUTF8=1",
        "SIZE=0x1",
        "RET",
        "RET=ALL",
        "RET=FULL RET=FULL",
        "ENVID=",
        "ENVID=a ENVID=b",
        "ENVID=a+0Ab",
    ] {
        assert_eq!(code(&format!("MAIL FROM:<a@b.example> {text}")), 501, "{text}");
    }
    assert_eq!(code("MAIL FROM:<a@b.example>SIZE=1"), 501);
    assert!(matches!(parse(b"MAIL FROM:<> SIZE=99999999999999999999"), Ok(Command::Mail(m))
        if m.declared_octets == Some(u64::MAX)));
}

#[test]
fn a_sender_says_what_it_wants_to_be_told() {
    let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<> ret=hdrs ENVID=QQ+2B1") else { panic!() };
    assert_eq!(mail.dsn, MessageDsn { ret: Some(Return::Headers), envelope_id: Some("QQ+1".to_owned()) });
    let line = b"RCPT TO:<a@b.example> notify=delay,failure ORCPT=rfc822;c@d.example";
    let Ok(Command::Rcpt(rcpt)) = parse(line) else { panic!() };
    assert_eq!(rcpt.dsn.notify, Some(Notify::When { success: false, failure: true, delay: true }));
    assert_eq!(rcpt.dsn.original_recipient.as_deref(), Some("rfc822;c@d.example"));
    for text in
        ["NOTIFY", "NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=NEVER NOTIFY=NEVER", "ORCPT=a@b", "ORCPT=a;b ORCPT=a;b"]
    {
        assert_eq!(code(&format!("RCPT TO:<a@b.example> {text}")), 501, "{text}");
    }
}

#[test]
fn utf8_paths_need_smtputf8() {
    assert_eq!(code("MAIL FROM:<jörg@b.example>"), 553);
    assert!(matches!(parse("MAIL FROM:<jörg@b.example> SMTPUTF8".as_bytes()), Ok(Command::Mail(m)) if m.smtputf8));
    assert!(matches!(
        parse("RCPT TO:<a@bücher.example>".as_bytes()),
        Ok(Command::Rcpt(RcptCommand { is_ascii: false, .. }))
    ));
}

#[test]
fn verbs_we_do_not_have_are_told_apart() {
    assert_eq!(code("EXPN list"), 502);
    assert_eq!(code("XYZZY"), 500);
    assert_eq!(code(""), 500);
    assert_eq!(code("MAILFROM:<a@b>"), 500);
    assert_eq!(parse(b"GET / HTTP/1.1"), Ok(Command::Http));
}

#[test]
fn a_chunk_has_a_length_or_no_end() {
    let chunk = |octets, is_last| Ok(Command::Bdat(Chunk { octets, is_last }));
    assert_eq!(parse(b"BDAT 5"), chunk(5, false));
    assert_eq!(parse(b"bdat  0  last "), chunk(0, true));
    assert_eq!(parse(b"BDAT 18446744073709551615 LAST"), chunk(u64::MAX, true));
    for text in ["", "x", "-1", "+1", "1.5", "0x10", "5 FIRST", "LAST", "5 LAST 6", "18446744073709551616"] {
        assert_eq!(parse(format!("BDAT {text}").as_bytes()), Ok(Command::EndlessBdat), "{text}");
    }
}

proptest! {
    #[test]
    fn no_octets_make_the_parser_fall_over(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&line);
    }

    #[test]
    fn no_argument_makes_the_parser_fall_over(
        head in proptest::sample::select(vec!["MAIL FROM:", "RCPT TO:", "MAIL FROM:<", "RCPT TO:<", "EHLO ", "VRFY "]),
        rest in "\\PC{0,80}",
    ) {
        let _ = parse(format!("{head}{rest}").as_bytes());
    }

    #[test]
    fn an_accepted_path_is_printed_as_it_was_written(
        local in "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,40}|\"([a-zA-Z0-9 <>@,:;.]|\\\\[\"a-z\\\\]){0,30}\"",
        domain in "[a-z0-9]{1,10}(\\.[a-z0-9]{1,10}){0,3}",
    ) {
        let address = format!("{local}@{domain}");
        let line = format!("RCPT TO:<{address}>");
        let Ok(Command::Rcpt(RcptCommand { path: ForwardPath::Mailbox(mailbox), .. })) = parse(line.as_bytes()) else {
            return Err(TestCaseError::fail(line));
        };
        prop_assert_eq!(mailbox.to_string(), address.clone());
        prop_assert_eq!(Mailbox::parse(&address, false), Ok(mailbox));
    }
}
