//! Senders on a list of bad ones.

use super::*;

const TRY: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<b@firma.example>\r\nRSET\r\n";

#[test]
fn a_listed_sender_is_deferred_only_while_the_recipients_own_server_takes_mail() {
    for (state, code) in [
        (LineState::Online, 451),
        (LineState::Returning, 451),
        (LineState::Suspect, 250),
        (LineState::Offline, 250),
        (LineState::New, 250),
    ] {
        let mut talk = talk();
        talk.world.state.set(Some(state));
        assert_eq!(talk.say(&format!("EHLO a.example\r\n{TRY}")), [250, 250, 250, 250]);
        talk.session.handle_listed();
        assert_eq!(talk.say(TRY), [250, code, 250], "{state:?}");
    }
}

#[test]
fn the_owner_may_wish_it_always() {
    let mut talk = talk_with(|settings| settings.defers_listed_while_offline = true);
    talk.session.handle_listed();
    assert_eq!(talk.say(&format!("EHLO a.example\r\n{TRY}")), [250, 250, 451, 250]);
}
