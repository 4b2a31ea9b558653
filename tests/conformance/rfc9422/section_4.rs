//! RFC 9422 §4: the limits that are announced.

use crate::support::Server;

#[test]
fn the_announced_number_of_recipients_is_the_one_that_holds() {
    let server = Server::start();
    let mut peer = server.connect();
    let offer = peer.ask("EHLO sender.example", 250);
    let limits = offer.lines().find(|line| line.contains("LIMITS")).unwrap();
    let (_, announced) = limits.split_once("RCPTMAX=").unwrap();
    assert!(!limits.contains("MAILMAX"));
    let announced: usize = announced.parse().unwrap();
    let recipients: String = (0..=announced).map(|n| format!("RCPT TO:<b{n}@firma.example>\r\n")).collect();
    peer.ask("MAIL FROM:<>", 250);
    peer.send(recipients);
    (0..announced).for_each(|_| drop(peer.hear(250)));
    assert!(peer.hear(452).starts_with("452 4.5.3"));
}
