//! Mail for postmaster and abuse at our own name is sent on to the operator's alert address.

use pulsemx::account::OPERATOR;
use pulsemx::base::{Clock, ReversePath, SpoolId, SpoolIds};
use pulsemx::spool::{
    BodyType, HeaderSummary, MessageDsn, NewMessage, NewRecipient, RecipientDsn, SpoolStore, StateFilter,
};

use super::*;

fn kept(ids: &SpoolIds, sender: &str, content: &str) -> NewMessage {
    let now = Clock.wall();
    NewMessage {
        id: ids.next(now, 0),
        accepted_at: now,
        reverse_path: if sender.is_empty() { ReversePath::Null } else { ReversePath::parse(sender, false).unwrap() },
        recipients: vec![NewRecipient {
            account: OPERATOR,
            mailbox: Mailbox::parse("abuse@mx2.own.example", false).unwrap(),
            dsn: RecipientDsn::default(),
        }],
        smtputf8: false,
        requires_tls: false,
        body: BodyType::SevenBit,
        dsn: MessageDsn::default(),
        trace: Bytes::new(),
        sha256: [7; 32],
        octets: content.len() as u64,
        header: HeaderSummary { subject: "complaint".to_owned(), ..HeaderSummary::default() },
        peer: "192.0.2.1".parse().unwrap(),
        helo: "mail.sender.example".to_owned(),
        tls: None,
        chunks_ahead: 0,
        tail: vec![Bytes::copy_from_slice(content.as_bytes())],
    }
}

fn office(store: &MemoryStore, settings: Settings, resolver: std::net::SocketAddr) -> CancellationToken {
    let checks = verdict::Settings { resolvers: vec![resolver], ..verdict::Settings::default() };
    let rooms =
        Rooms { store: Arc::new(store.clone()), spool: Arc::new(store.clone()), directory: DirectoryHandle::default() };
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::new(PostOffice::new(settings, rooms, &checks).unwrap()).run(shutdown.clone()));
    shutdown
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let limit = support::now() + SOON;
    while !is_so().await {
        assert!(support::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_sent_on_once_also_over_a_restart_and_stays_here() {
    let sink = Primary::listen("127.0.22.9", 0);
    let zone = Zone::default().mx("haus.example", 10, "mx.haus.example").address("mx.haus.example", "127.0.22.9");
    let server = zone.serve().await;
    let to = Mailbox::parse("chef@haus.example", false).unwrap();
    let own = Mailbox::parse("postmaster@mx2.own.example", false).unwrap();
    let settings = || Settings { operator: vec![own.clone(), to.clone()], ..settings(sink.address.port()) };
    let (store, ids) = (MemoryStore::new(), SpoolIds::default());
    store.intake_commit(kept(&ids, "angry@stranger.example", "Subject: complaint\r\n\r\nstop it\r\n")).await.unwrap();
    let first = office(&store, settings(), server.address);
    until("the first message arrives", async || sink.arrived().len() == 1).await;
    first.cancel();
    store.intake_commit(kept(&ids, "", "X-Loop: mx2.own.example\r\n\r\nit came back\r\n")).await.unwrap();
    store.intake_commit(kept(&ids, "b@stranger.example", "Subject: second\r\n\r\nagain\r\n")).await.unwrap();
    let second = office(&store, settings(), server.address);
    until("the second message arrives", async || sink.arrived().len() == 2).await;
    second.cancel();
    let arrived = sink.arrived();
    for (mail, part) in arrived.iter().zip(["stop it", "again"]) {
        let text = String::from_utf8_lossy(&mail.content);
        assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("", ["chef@haus.example".to_owned()].as_slice()));
        assert!(text.contains(part) && text.contains("X-Loop: mx2.own.example"), "{text}");
    }
    let rows = store.outgoing(None, 10).await.unwrap();
    assert_eq!(rows.len(), 2, "each once, and none to ourselves: {rows:?}");
    assert!(rows.iter().all(|row| row.kind == MailKind::Operator));
    let query =
        pulsemx::spool::ListQuery { account: Some(OPERATOR), filter: StateFilter::Waiting, after: None, limit: 10 };
    let waiting: Vec<SpoolId> = store.list(query).await.unwrap().rows.iter().map(|row| row.id).collect();
    assert_eq!(waiting.len(), 3, "all of it stays here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_it_leaves_at_the_pace_of_a_reader() {
    let sink = Primary::listen("127.0.22.10", 0);
    let server = Zone::default().address("haus.example", "127.0.22.10").serve().await;
    let to = Mailbox::parse("chef@haus.example", false).unwrap();
    let settings = Settings { operator: vec![to], ..settings(sink.address.port()) };
    let (store, ids) = (MemoryStore::new(), SpoolIds::default());
    for _ in 0..250 {
        store.intake_commit(kept(&ids, "bot@stranger.example", "Subject: x\r\n\r\nx\r\n")).await.unwrap();
    }
    let shutdown = office(&store, settings, server.address);
    let limit = pulsemx::outbound::operator::SENT_ON_PER_HOUR;
    until("an hour's worth arrives", async || sink.arrived().len() == limit).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(store.outgoing(None, 1_000).await.unwrap().len(), limit);
    shutdown.cancel();
}
