//! RFC 3461 §4: RET and ENVID of MAIL, NOTIFY and ORCPT of RCPT.

use crate::spool::{Notify, Return};
use crate::support::{Server, Target, recipient};

fn offers_dsn(target: &Target) -> bool {
    target.connect().ask("EHLO sender.example", 250).contains("DSN")
}

#[test]
fn what_a_sender_wants_to_be_told_is_kept_with_its_message() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example> RET=HDRS ENVID=QQ+2B1", 250);
    peer.ask("RCPT TO:<b@firma.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bb@sender.example", 250);
    // Named twice: what was wanted first holds, and it stays one recipient.
    peer.ask("RCPT TO:<b@firma.example> NOTIFY=NEVER", 250);
    peer.ask("RCPT TO:<c@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask("x\r\n.", 250);
    let message = server.only_message().message;
    assert_eq!((message.dsn.ret, message.dsn.envelope_id.as_deref()), (Some(Return::Headers), Some("QQ+1")));
    let [first, second] = message.recipients.as_slice() else { panic!("{:?}", message.recipients) };
    assert_eq!(first.dsn.notify, Some(Notify::When { success: true, failure: false, delay: true }));
    assert_eq!(first.dsn.original_recipient.as_deref(), Some("rfc822;old+b@sender.example"));
    assert_eq!((second.dsn.notify, &second.dsn.original_recipient), (None, &None));
}

#[test]
fn values_that_the_rfc_does_not_have_are_refused() {
    let target = Target::start();
    if !offers_dsn(&target) {
        return;
    }
    let mut peer = target.greeted();
    for parameter in ["RET=SOME", "RET=FULL RET=HDRS", "ENVID=a+0D+0ARCPT", "NOTIFY=NEVER"] {
        peer.send(format!("MAIL FROM:<a@sender.example> {parameter}\r\n"));
        assert!(peer.hear_any().starts_with('5'), "{parameter}");
    }
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    for parameter in ["NOTIFY=NEVER,DELAY", "NOTIFY=ALWAYS", "ORCPT=nobody", "RET=FULL"] {
        peer.send(format!("RCPT TO:<{}> {parameter}\r\n", recipient()));
        assert!(peer.hear_any().starts_with('5'), "{parameter}");
    }
    peer.ask(&format!("RCPT TO:<{}> NOTIFY=never", recipient()), 250);
}
