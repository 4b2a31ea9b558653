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
