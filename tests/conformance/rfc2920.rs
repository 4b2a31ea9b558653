//! RFC 2920: PIPELINING.

use crate::support::{Server, Target, recipient};

/// RFC 2920 §3.1: recipients may all fail in front of a DATA that is on its way already.
#[test]
fn a_pipelined_data_without_a_valid_recipient_is_not_answered_with_354() {
    let mut peer = Target::start().greeted();
    peer.send("MAIL FROM:<a@sender.example>\r\nRCPT TO:<nobody@not-served.example>\r\nDATA\r\nRSET\r\nNOOP\r\n");
    peer.hear(250);
    assert!(peer.hear_any().starts_with('5'));
    assert!(["503", "554"].contains(&&peer.hear_any()[..3]));
    peer.hear(250);
    peer.hear(250);
}

/// RFC 2920 §3.2: replies come in the order of the commands, and the session goes on behind the content.
#[test]
fn two_messages_in_a_pipeline_are_answered_in_order() {
    let mut peer = Target::start().greeted();
    let envelope = format!("MAIL FROM:<a@sender.example>\r\nRCPT TO:<{}>\r\nDATA\r\n", recipient());
    peer.send(&envelope);
    peer.hear(250);
    peer.hear(250);
    peer.hear(354);
    peer.send(format!("Subject: 1\r\n\r\none\r\n.\r\n{envelope}"));
    for code in [250, 250, 250, 354] {
        peer.hear(code);
    }
    peer.send("Subject: 2\r\n\r\ntwo\r\n.\r\nQUIT\r\n");
    peer.hear(250);
    peer.hear(221);
    assert!(peer.is_closed());
}

#[test]
fn one_failed_recipient_does_not_hurt_the_others() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.send("MAIL FROM:<>\r\nRCPT TO:<a@not-served.example>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\n");
    for code in [250, 550, 250, 354] {
        peer.hear(code);
    }
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.recipients.len(), 1);
}
