//! RFC 5321 §2.3.8: lines end with CRLF and with nothing else.

use crate::support::{Server, Target};

#[test]
fn lf_alone_does_not_end_a_command() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.send("MAIL FROM:<a@sender.example>\nRCPT TO:<b@firma.example>\nDATA\nevil\n.\n");
    peer.hear(500);
    assert!(peer.is_closed());
    assert!(server.spool.kept().is_empty());
}

/// The corpus of SMTP smuggling (CVE-2023-51764 and its family): ends of data that some server takes.
#[test]
fn nothing_but_crlf_dot_crlf_ends_the_content() {
    let server = Server::start();
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n\n.\n\n",
        "\r\r\n.\r\r\n",
        "\n.\r",
        "\r\n\0.\n",
        "\r\n.\r\r\n",
        "\r\n\r.\r\n",
        "\r\n.\0\n",
        "\n.\0\r\n",
    ] {
        let mut peer = server.greeted();
        peer.open_content();
        peer.send(format!(
            "Subject: one\r\n\r\nfirst{end}MAIL FROM:<ceo@elsewhere.example>\r\nRCPT TO:<b@firma.example>\r\n"
        ));
        assert!(peer.ask("DATA\r\nevil\r\n.", 550).starts_with("550 5.6.11"), "{end:?}");
        peer.ask("NOOP", 250);
    }
    assert!(server.spool.kept().is_empty());
}

#[test]
fn a_dot_and_crlf_alone_are_an_empty_message() {
    let mut peer = Target::start().greeted();
    peer.open_content();
    peer.ask(".", 250);
    peer.ask("NOOP", 250);
}
