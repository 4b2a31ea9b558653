//! RFC 2034: ENHANCEDSTATUSCODES.

use crate::support::{Sender, Server};

/// RFC 2034 §4: every 2yz, 4yz and 5yz but those to EHLO and the greeting begins with a code of the same class,
/// in the form of RFC 3463 §3.
#[test]
fn replies_carry_an_enhanced_status_code_of_their_class() {
    let server = Server::start();
    let mut peer = server.greeted();
    for command in [
        "NOOP",
        "HELP",
        "VRFY someone",
        "EXPN list",
        "XYZZY",
        "RSET",
        "MAIL FROM:<x",
        "MAIL FROM:<a@b.example>",
        "RCPT TO:<b@firma.example>",
        "RCPT TO:<b@elsewhere.example>",
        "RCPT TO:<b@leaving.example>",
        "DATA x",
        "QUIT",
    ] {
        has_code(&mut peer, command);
    }
}

fn has_code(peer: &mut Sender, command: &str) {
    peer.send(format!("{command}\r\n"));
    for line in peer.hear_any().lines() {
        let code: Vec<&str> = line[4..].split(' ').next().unwrap().split('.').collect();
        assert_eq!(code.len(), 3, "{command}: {line}");
        assert_eq!(code[0], &line[..1], "{command}: {line}");
        assert!(code.iter().all(|part| part.parse::<u16>().is_ok()), "{command}: {line}");
    }
}
