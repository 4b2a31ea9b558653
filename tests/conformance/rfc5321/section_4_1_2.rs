//! RFC 5321 §4.1.2: syntax of paths.

use crate::support::Server;

#[test]
fn quoted_local_parts_may_have_brackets_and_blanks() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<\"a > b\"@sender.example> SIZE=5", 250);
    peer.ask("RCPT TO:<\"x \\\"y\\\" <z>\"@firma.example>", 250);
    peer.ask("DATA", 354);
    peer.ask(".", 250);
    let message = server.only_message().message;
    assert_eq!(message.reverse_path.to_string(), "\"a > b\"@sender.example");
    assert_eq!(message.recipients[0].mailbox.to_string(), "\"x \\\"y\\\" <z>\"@firma.example");
}
