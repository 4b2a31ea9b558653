//! RFC 5321 §4.1.1.1: EHLO and HELO.

use crate::support::{Server, Target};

#[test]
fn ehlo_lists_the_extensions() {
    let reply = Server::start().connect().ask("EHLO sender.example", 250);
    let lines: Vec<&str> = reply.lines().map(|line| &line[4..]).collect();
    assert_eq!(lines[0], "mx.example");
    for extension in
        ["PIPELINING", "SIZE 67108864", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "STARTTLS", "ENHANCEDSTATUSCODES"]
    {
        assert!(lines.contains(&extension), "{extension} in {reply}");
    }
}

#[test]
fn helo_is_answered_with_one_line() {
    let reply = Target::start().connect().ask("HELO sender.example", 250);
    assert_eq!(reply.lines().count(), 1);
}

#[test]
fn a_name_that_could_forge_a_trace_field_is_refused() {
    let server = Server::start();
    let mut peer = server.connect();
    for name in ["", "a b", "a(b)", "x;y", "<a>", "a\"b", "a@b", "[1.2.3.4"] {
        peer.ask(&format!("EHLO {name}"), 501);
    }
    peer.ask("EHLO [192.0.2.1]", 250);
    peer.ask("EHLO [IPv6:2001:db8::1]", 250);
}
