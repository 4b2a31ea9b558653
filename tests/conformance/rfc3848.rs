//! RFC 3848: keywords behind `with` in `Received`.

use crate::support::{Sender, Server};

fn keyword(server: &Server, peer: &mut Sender) -> String {
    peer.open_content();
    peer.ask("x\r\n.", 250);
    let trace = String::from_utf8(server.spool.kept().last().unwrap().message.trace.to_vec()).unwrap();
    trace.split(" with ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// RFC 3848 §1.
#[test]
fn the_keyword_tells_how_the_message_came() {
    let server = Server::start();
    let mut peer = server.connect();
    peer.ask("HELO sender.example", 250);
    assert_eq!(keyword(&server, &mut peer), "SMTP");
    let mut peer = server.greeted();
    assert_eq!(keyword(&server, &mut peer), "ESMTP");
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt(&server);
    peer.ask("EHLO sender.example", 250);
    assert_eq!(keyword(&server, &mut peer), "ESMTPS");
}
