//! RFC 3207: STARTTLS.

use crate::support::Server;

/// RFC 3207 §4.
#[test]
fn a_message_over_tls_is_stored_with_the_facts_of_its_session() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt(&server);
    let reply = peer.ask("EHLO sender.example", 250);
    assert!(!reply.contains("STARTTLS"), "{reply}");
    peer.open_content();
    peer.ask("Subject: x\r\n\r\nhi\r\n.", 250);
    let message = server.only_message().message;
    assert!(message.tls.as_deref().is_some_and(|tls| tls.starts_with("TLSv1_3 ")), "{:?}", message.tls);
    peer.ask("QUIT", 221);
    assert!(peer.is_closed());
}

/// Hosts without TLS 1.3 are encrypted too; older versions than 1.2 are not spoken (RFC 8996 §4).
#[test]
fn tls_1_2_is_spoken_as_well() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt_with(server.client_config(&[&rustls::version::TLS12]));
    peer.ask("EHLO sender.example", 250);
    peer.open_content();
    peer.ask("x\r\n.", 250);
    assert!(server.only_message().message.tls.is_some_and(|tls| tls.starts_with("TLSv1_2 ")));
}

/// RFC 3207 §4.1: the client waits for the 220; what follows STARTTLS in clear is an injection
/// (RFC 3207 §6).
#[test]
fn commands_behind_starttls_end_the_session_and_are_never_obeyed() {
    let server = Server::start();
    let injected = "MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\nevil\r\n.\r\n";
    let mut peer = server.greeted();
    peer.send(format!("STARTTLS\r\n{injected}"));
    peer.hear(554);
    assert!(peer.is_closed());
    assert!(server.spool.kept().is_empty());
}

/// The same when it arrives behind the 220: it is no handshake.
#[test]
fn clear_text_in_place_of_the_handshake_ends_the_session() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("STARTTLS", 220);
    peer.send("MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\n");
    assert!(!peer.rest().contains("250"), "obeyed");
}

/// RFC 3207 §4.2.
#[test]
fn what_was_said_before_the_handshake_is_forgotten() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("RCPT TO:<b@firma.example>", 250);
    peer.ask("STARTTLS", 220);
    let mut peer = peer.encrypt(&server);
    peer.ask("DATA", 503);
    peer.ask("MAIL FROM:<a@sender.example>", 503);
    peer.ask("EHLO sender.example", 250);
    peer.ask("STARTTLS", 503);
    peer.ask("RCPT TO:<b@firma.example>", 503);
}

#[test]
fn starttls_takes_no_argument() {
    Server::start().greeted().ask("STARTTLS now", 501);
}
