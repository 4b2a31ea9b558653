//! A customer's server that asks for its mail.

use super::*;

#[test]
fn only_the_server_behind_the_heartbeat_may_ask_for_its_mail() {
    let mut talk = talk().greeted();
    let question = "ETRN firma.example\r\n";
    assert_eq!(talk.say(question), [459], "nothing is known of an address");
    talk.world.state.set(Some(LineState::Online));
    talk.world.address.set(Some("198.51.100.77".parse().unwrap()));
    assert_eq!(talk.say(question), [459], "somebody else");
    assert_eq!(talk.say("ETRN stranger.example\r\nETRN #queue\r\nETRN a..b\r\nETRN\r\n"), [459, 458, 501, 501]);
    talk.world.address.set(Some(talk.session.peer));
    assert_eq!(talk.say(question), [251]);
    talk.world.held.insert(AccountId(1), 7_000);
    assert_eq!(talk.say(question), [253]);
    assert!(talk.replies.contains("7 pending messages for firma.example"));
    assert_eq!(talk.say("ETRN @firma.example\r\nETRN firma.example\r\n"), [253, 458]);
    assert_eq!(talk.say("MAIL FROM:<>\r\nETRN firma.example\r\n"), [250, 503]);
    talk.world.state.set(Some(LineState::Offline));
    assert_eq!(talk.say("RSET\r\nETRN firma.example\r\n"), [250, 459]);
}

fn login(name: &str, token: &str) -> String {
    format!("AUTH PLAIN {}\r\n", data_encoding::BASE64.encode(format!("\0{name}\0{token}").as_bytes()))
}

/// Under TLS, greeted; the first customer has a token.
fn encrypted() -> Talk {
    let mut talk = talk().greeted();
    talk.world.token.set(Some("pma-right"));
    assert_eq!(talk.say("STARTTLS\r\n"), [220]);
    talk.session.handle_tls("TLSv1_3".to_owned(), talk.now);
    assert_eq!(talk.say("EHLO mail.firma.example\r\n"), [250]);
    talk
}

#[test]
fn auth_is_offered_under_tls_where_somebody_has_a_token() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say("AUTH PLAIN AGZpcm1hAHg=\r\n"), [502]);
    talk.world.token.set(Some("pma-right"));
    assert_eq!(talk.say("EHLO a.example\r\n"), [250]);
    assert!(!talk.replies.contains("AUTH"), "{}", talk.replies);
    assert_eq!(talk.say(&login("a1", "pma-right")), [538]);
    assert_eq!(talk.say("MAIL FROM:<a@b.example> AUTH=<>\r\n"), [555]);
    let mut talk = encrypted();
    assert!(talk.replies.contains("250-AUTH PLAIN LOGIN\r\n"), "{}", talk.replies);
    assert_eq!(talk.say("MAIL FROM:<a@b.example> AUTH=<>\r\nRSET\r\n"), [250, 250]);
    talk.world.token.set(None);
    assert_eq!(talk.say("EHLO a.example\r\n"), [250]);
    assert!(!talk.replies.contains("AUTH"), "{}", talk.replies);
}

#[test]
fn a_server_that_has_proven_itself_asks_from_anywhere_for_its_own_mail() {
    let mut talk = encrypted();
    talk.world.held.insert(AccountId(1), 7_000);
    talk.world.state.set(Some(LineState::Online));
    assert_eq!(talk.say("ETRN firma.example\r\n"), [459]);
    assert_eq!(talk.say(&login("A1", "pma-right")), [235]);
    assert_eq!(talk.say("ETRN firma.example\r\nETRN verein.example\r\n"), [253, 459]);
    assert_eq!(talk.say(&login("a1", "pma-right")), [503], "once is enough");
    assert_eq!(talk.say("MAIL FROM:<x@a.example>\r\nRCPT TO:<x@stranger.example>\r\n"), [250, 550], "no relay");
    talk.world.state.set(Some(LineState::Offline));
    assert_eq!(talk.say("RSET\r\nETRN firma.example\r\n"), [250, 458]);
}

#[test]
fn a_wrong_proof_waits_and_the_third_is_the_last() {
    let mut talk = encrypted();
    assert_eq!(talk.say("AUTH LOGIN\r\n"), [334]);
    assert_eq!(talk.say("YTE=\r\n"), [334]);
    assert_eq!(talk.say("d3Jvbmc=\r\n"), [535]);
    assert_eq!(talk.say(&login("a2", "pma-right")), [535], "the token of another");
    assert_eq!(talk.say("ETRN firma.example\r\n"), [459]);
    assert_eq!(talk.say(&login("a1", "pma-wrong")), [421]);
    assert_eq!(talk.paused, [Duration::from_secs(5); 3]);
    assert_eq!(talk.last, "close");
}

#[test]
fn what_is_no_exchange_opens_nothing() {
    let mut talk = encrypted();
    assert_eq!(talk.say("AUTH\r\nAUTH PLAIN a b\r\nAUTH CRAM-MD5\r\nAUTH PLAIN !\r\n"), [501, 501, 504, 501]);
    assert_eq!(talk.say("AUTH PLAIN\r\n"), [334]);
    assert_eq!(talk.say("*\r\nNOOP\r\n"), [501, 250]);
    assert_eq!(talk.say("AUTH LOGIN\r\n"), [334]);
    assert_eq!(talk.say("MAIL FROM:<a@b.example>\r\nNOOP\r\n"), [501, 250], "an answer is no command");
    assert_eq!(talk.say(&format!("AUTH PLAIN {}\r\nNOOP\r\n", "A".repeat(5_000))), [500, 250]);
    assert_eq!(talk.say("AUTH PLAIN\r\n"), [334]);
    assert_eq!(talk.say(&format!("{}\r\nNOOP\r\n", "A".repeat(5_000))), [500, 250], "it is over");
    assert_eq!(
        talk.say("MAIL FROM:<a@b.example>\r\nAUTH PLAIN AGZpcm1hAHg=\r\nRSET\r\nHELO a\r\nAUTH PLAIN\r\n"),
        [250, 503, 250, 250, 503]
    );
}
