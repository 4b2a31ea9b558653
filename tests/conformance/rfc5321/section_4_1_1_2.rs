//! RFC 5321 §4.1.1.2: MAIL.

use crate::support::{Server, Target};

#[test]
fn the_null_reverse_path_is_taken() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    assert_eq!(server.only_message().message.reverse_path.to_string(), "");
}

#[test]
fn what_is_no_path_is_refused() {
    let mut peer = Target::start().greeted();
    for path in ["a@sender.example", "<a@sender.example", "<a b@sender.example>", "<@>", "", "<a@@sender.example>"] {
        peer.send(format!("MAIL FROM:{path}\r\n"));
        let reply = peer.hear_any();
        assert!(reply.starts_with("501") || reply.starts_with("553"), "{path}: {reply}");
    }
    peer.ask("MAIL FROM:<a@sender.example>", 250);
}
