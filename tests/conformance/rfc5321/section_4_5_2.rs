//! RFC 5321 §4.5.2: transparency.

use crate::support::Server;

#[test]
fn dots_at_the_beginning_of_lines_come_back_as_they_were() {
    let content = ".\r\n..\r\n.x\r\nx.\r\n\r\n...\r\n";
    let stuffed: String = content
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() })
        .collect();
    let server = Server::start();
    let wire = format!("{stuffed}.\r\n");
    for cut in 0..=wire.len() {
        let mut peer = server.greeted();
        peer.open_content();
        peer.send(&wire[..cut]);
        peer.send(&wire[cut..]);
        peer.hear(250);
        assert_eq!(server.spool.kept().last().unwrap().content, content.as_bytes(), "cut at {cut}");
    }
}
