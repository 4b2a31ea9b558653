//! BDAT: chunks that become messages, and chunks that must become nothing.

use super::*;

const PATHS: &str = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@firma.example>\r\n";

#[test]
fn chunks_become_one_message_as_sent() {
    let mut talk = talk().greeted();
    let codes = talk.say(&format!("{PATHS}BDAT 7\r\n.\r\n.\r\nMBDAT 0\r\nBDAT 7 LAST\r\nAIL \r\n.NOOP\r\n"));
    assert_eq!(codes, [250, 250, 250, 250, 250, 250]);
    assert_eq!((talk.writes, talk.committed.len()), (3, 1), "one write for the whole pipeline");
    assert_eq!(talk.committed[0].tail.concat(), b".\r\n.\r\nMAIL \r\n.");
}

#[test]
fn a_chunked_conversation_is_the_same_wherever_packets_divide_it() {
    let wire = format!("EHLO a.example\r\n{PATHS}BDAT 3\r\nx\r\nBDAT 2 LAST\r\n..{PATHS}DATA\r\n");
    for cut in 0..wire.len() {
        let mut talk = talk();
        let mut codes = talk.say(&wire[..cut]);
        codes.extend(talk.say(&wire[cut..]));
        assert_eq!(codes, [250, 250, 250, 250, 250, 250, 250, 354], "cut at {cut}");
        assert_eq!(talk.committed[0].tail.concat(), b"x\r\n..");
    }
}

#[test]
fn the_chunk_of_a_refused_bdat_is_never_taken_for_commands() {
    let smuggled = "MAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\nQUIT\r\n";
    let chunk = format!("BDAT {} LAST\r\n{smuggled}", smuggled.len());
    let mut talk = talk();
    assert_eq!(talk.say(&format!("{chunk}NOOP\r\n")), [503, 250]);
    let mut talk = talk.greeted();
    assert_eq!(talk.say(&format!("{chunk}NOOP\r\n")), [503, 250]);
    assert_eq!(talk.say("MAIL FROM:<>\r\nRCPT TO:<x@elsewhere.example>\r\n"), [250, 550]);
    assert_eq!(talk.say(&format!("{chunk}NOOP\r\n")), [554, 250]);
    let codes: Vec<u16> = chunk.as_bytes().iter().flat_map(|octet| talk.say_octets(&[*octet])).collect();
    assert_eq!(codes, [503], "octet by octet");
    assert_eq!((talk.committed.len(), talk.last), (0, "read"));
}

#[test]
fn a_message_whose_first_chunk_was_refused_never_becomes_one_without_it() {
    let mut talk = talk().greeted();
    let codes = talk.say("MAIL FROM:<>\r\nBDAT 3\r\na\r\nRCPT TO:<b@firma.example>\r\nBDAT 3 LAST\r\nb\r\n");
    assert_eq!(codes, [250, 554, 503, 503]);
    assert!(talk.committed.is_empty());
}

#[test]
fn between_chunks_only_bdat_goes_on_and_rset_takes_pieces_back() {
    let body = "x".repeat(70_000);
    let mut talk = talk().greeted();
    for (command, code) in [("RSET", 250), ("EHLO again.example", 250), ("HELO again.example", 250)] {
        assert_eq!(talk.say(&format!("{PATHS}BDAT 70000\r\n{body}")), [250, 250, 250]);
        assert_eq!(
            talk.say("DATA\r\nMAIL FROM:<>\r\nRCPT TO:<c@firma.example>\r\nNOOP\r\n"),
            [503, 503, 503, 250],
            "{command}"
        );
        let before = talk.abandoned.len();
        assert_eq!(talk.say(&format!("{command}\r\n")), [code]);
        assert_eq!(talk.abandoned.len(), before + 1, "{command}");
        assert_eq!(talk.say("BDAT 1 LAST\r\nx"), [503]);
    }
    assert!(talk.committed.is_empty());
}

#[test]
fn starttls_quit_and_leaving_between_chunks_leave_nothing_behind() {
    for end in ["STARTTLS\r\n", "QUIT\r\n"] {
        let mut talk = talk().greeted();
        talk.say(&format!("{PATHS}BDAT 70000\r\n{}", "x".repeat(70_000)));
        talk.say(end);
        assert_eq!(talk.abandoned.len(), 1, "{end}");
    }
    let mut talk = talk().greeted();
    talk.say(&format!("{PATHS}BDAT 70000\r\n{}", "x".repeat(70_000)));
    assert!(talk.session.handle_disconnect().is_some());
}

#[test]
fn the_verdict_on_chunks_comes_with_the_last_one() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say(&format!("{PATHS}BDAT 3\r\na\nbBDAT 2 LAST\r\n\r\n")), [250, 250, 250, 550]);
    assert_eq!(talk.say(&format!("{PATHS}BDAT 2\r\na\rBDAT 2 LAST\r\n\nb")), [250, 250, 250, 250]);
    assert_eq!(talk.say(&format!("{PATHS}BDAT 2 LAST\r\na\r")), [250, 250, 550]);
    let big = "x".repeat(300_001);
    assert_eq!(talk.say(&format!("{PATHS}BDAT 300001\r\n{big}BDAT 0 LAST\r\nNOOP\r\n")), [250, 250, 250, 552, 250]);
    talk.piece = PieceOutcome::NotStored;
    assert_eq!(talk.say(&format!("{PATHS}BDAT 70000 LAST\r\n{}", "x".repeat(70_000))), [250, 250, 451]);
    assert_eq!(talk.committed.len(), 1);
}

#[test]
fn a_chunk_without_a_length_ends_the_session() {
    let mut talk = talk().greeted();
    let codes = talk.say(&format!("{PATHS}BDAT many LAST\r\nQUIT\r\n"));
    assert_eq!((codes, talk.last), (vec![250, 250, 501], "close"));
}

#[test]
fn chunks_that_bring_nothing_are_counted() {
    let mut talk = talk().greeted();
    talk.say(PATHS);
    let codes = talk.say(&"BDAT 0\r\n".repeat(500));
    assert_eq!((codes.last(), talk.last), (Some(&421), "close"));
}

#[test]
fn a_stopping_service_waits_for_the_last_chunk() {
    let mut talk = talk().greeted();
    talk.say(&format!("{PATHS}BDAT 1\r\na"));
    talk.session.handle_shutdown();
    assert_eq!((talk.say("BDAT 1 LAST\r\nb"), talk.last), (vec![250, 421], "close"));
}
