//! Bounds of the service: sessions in all and per network, and how it stops.

use crate::support::{Sender, Server};

#[test]
fn the_session_beyond_the_limit_is_deferred_at_once_and_gets_its_place_later() {
    let server = Server::start_with(|settings| settings.sessions_max = 2);
    let (first, _second) = (server.connect(), server.connect());
    let mut third = Sender::new(server.address);
    assert!(third.hear(421).starts_with("421 4.3.2"));
    assert!(third.is_closed());
    drop(first);
    // The server sees the end of the first session a moment later; until then it defers.
    let is_greeted = (0..1000).any(|_| Sender::new(server.address).hear_any().starts_with("220"));
    assert!(is_greeted);
}

#[test]
fn one_network_does_not_take_all_places_unless_it_is_exempt() {
    let server = Server::start_with(|settings| {
        settings.sessions_per_network_max = 1;
        settings.spares_near = false;
    });
    let _first = server.connect();
    Sender::new(server.address).hear(421);
    let server = Server::start_with(|settings| {
        settings.sessions_per_network_max = 1;
        settings.spares_near = false;
        settings.exempt_networks = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let _places = [server.connect(), server.connect(), server.connect()];
}

#[test]
fn this_machine_has_no_share_of_its_own_and_no_rate() {
    let server = Server::start_with(|settings| {
        settings.sessions_per_network_max = 1;
        settings.connections_per_minute_max = 1;
        settings.messages_per_minute_max = 1;
        settings.recipients_per_minute_max = 1;
    });
    let _places: Vec<Sender> = (0..20).map(|_| server.connect()).collect();
    let mut peer = server.greeted();
    for _ in 0..20 {
        peer.ask("MAIL FROM:<>", 250);
        peer.ask("RCPT TO:<b@firma.example>", 250);
        peer.ask("RSET", 250);
    }
}

#[test]
fn a_network_that_connects_too_often_is_told_to_come_again() {
    let server = Server::start_with(|settings| {
        settings.connections_per_minute_max = 1;
        settings.spares_near = false;
    });
    let _places: Vec<Sender> = (0..5).map(|_| server.connect()).collect();
    assert!(Sender::new(server.address).hear(421).starts_with("421 4.7.0"));
}

#[test]
fn a_stopping_service_lets_the_transaction_finish() {
    let server = Server::start();
    let mut idle = server.greeted();
    let mut busy = server.greeted();
    busy.open_content();
    server.shutdown.cancel();
    idle.hear(421);
    assert!(idle.is_closed());
    busy.ask("x\r\n.", 250);
    busy.hear(421);
    assert_eq!(server.only_message().content, b"x\r\n");
    server.stop();
}

#[test]
fn a_message_of_many_pieces_arrives_whole() {
    let server = Server::start();
    let mut peer = server.greeted();
    peer.open_content();
    let content = "0123456789012345678901234567890123456789\r\n.dots\r\n".repeat(100_000);
    peer.send(content.replace("\r\n.", "\r\n.."));
    peer.ask(".", 250);
    let kept = server.only_message();
    assert!(kept.content == content.as_bytes());
    assert!(kept.message.chunks_ahead > 50);
    assert_eq!(server.spool.pieces_ahead(), 0);
}

/// Whoever says MAIL and goes spends nothing of what his network may bring.
#[test]
fn a_message_counts_for_its_network_once_its_content_begins() {
    let server = Server::start_with(|settings| {
        settings.messages_per_minute_max = 1;
        settings.spares_near = false;
    });
    let mut idler = server.greeted();
    for _ in 0..40 {
        idler.ask("MAIL FROM:<>", 250);
        idler.ask("RSET", 250);
    }
    let mut peer = server.greeted();
    for _ in 0..5 {
        peer.open_content();
        peer.ask(".", 250);
    }
    assert!(peer.ask("MAIL FROM:<>", 450).starts_with("450 4.7.1"));
}
