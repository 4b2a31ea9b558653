//! How mail of our own finds its way: MX hosts in their order, a domain without mail, an address nobody may connect to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../verdict/dns.rs"]
#[allow(dead_code, reason = "senders are not checked here")]
mod dns;

mod operator;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulsemx::account::DirectoryHandle;
use pulsemx::base::{DomainName, Mailbox};
use pulsemx::outbound::model::{MailKind, NewMail, OutgoingRow};
use pulsemx::outbound::{OutboundStore, PostOffice, Rooms, Settings, SmartHost};
use pulsemx::spool::NoticeKind;
use pulsemx::store::MemoryStore;
use pulsemx::{delivery, verdict};
use tokio_util::sync::CancellationToken;

use dns::Zone;
use support::Primary;

const SOON: Duration = Duration::from_secs(20);
const OWN: &str = "mx2.own.example";

fn settings(mx_port: u16) -> Settings {
    let hostname = DomainName::parse(OWN).unwrap();
    Settings {
        from: Mailbox::parse("mailer-daemon@mx2.own.example", false).unwrap(),
        delivery: delivery::Settings { allow_loopback_targets: true, ..delivery::Settings::new(hostname) },
        smart_host: None,
        mx_port,
        signer: None,
        per_domain_hour: 20,
        warn_sender_after: None,
        keep: Duration::from_secs(30 * 86_400),
        digest_hour: 0,
        operator: Vec::new(),
        page: String::new(),
    }
}

/// Sends one mail to this address; what became of the first attempt.
async fn send(settings: Settings, zone: Zone, to: &str) -> OutgoingRow {
    let server = zone.serve().await;
    let checks = verdict::Settings { resolvers: vec![server.address], ..verdict::Settings::default() };
    let store = MemoryStore::new();
    let mail = NewMail {
        tag: "x".to_owned(),
        kind: MailKind::Notice(NoticeKind::Failed),
        account: None,
        message: None,
        recipient: Mailbox::parse(to, false).unwrap(),
        smtputf8: false,
        content: Bytes::from_static(b"Subject: x\r\n\r\n.dot\r\n"),
    };
    store.enqueue(mail, pulsemx::base::Clock.wall()).await.unwrap();
    let rooms =
        Rooms { store: Arc::new(store.clone()), spool: Arc::new(store.clone()), directory: DirectoryHandle::default() };
    let shutdown = CancellationToken::new();
    let office = tokio::spawn(Arc::new(PostOffice::new(settings, rooms, &checks).unwrap()).run(shutdown.clone()));
    let limit = support::now() + SOON;
    let row = loop {
        let row = store.outgoing(None, 1).await.unwrap().remove(0);
        if row.attempts > 0 {
            break row;
        }
        assert!(support::now() < limit, "no attempt was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    shutdown.cancel();
    office.await.unwrap();
    row
}

/// Records on this address, at a port that both have.
fn sinks(first: &str, second: &str) -> (Primary, Primary) {
    let one = Primary::listen(first, 0);
    let two = Primary::listen(second, one.address.port());
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_host_gets_the_mail_and_the_next_one_where_that_is_away() {
    let (first, second) = sinks("127.0.22.1", "127.0.22.2");
    let port = first.address.port();
    let zone = || {
        Zone::default()
            .mx("d.example", 20, "second.example")
            .mx("d.example", 10, "first.example")
            .address("first.example", "127.0.22.1")
            .address("second.example", "127.0.22.2")
    };
    let row = send(settings(port), zone(), "alice@d.example").await;
    assert!(row.is_sent, "{row:?}");
    let arrived = first.arrived();
    assert_eq!((arrived[0].from.as_str(), arrived[0].to[0].as_str()), ("", "alice@d.example"));
    assert_eq!(arrived[0].content, b"Subject: x\r\n\r\n.dot\r\n");
    drop(first);
    let row = send(settings(port), zone(), "alice@d.example").await;
    assert!(row.is_sent && row.reply.unwrap().starts_with("second.example"));
    assert_eq!(second.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_an_mx_record_is_its_own_host() {
    let sink = Primary::listen("127.0.22.3", 0);
    let zone = Zone::default().address("d.example", "127.0.22.3");
    let row = send(settings(sink.address.port()), zone, "alice@d.example").await;
    assert!(row.is_sent, "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_takes_no_mail_or_is_not_there_is_given_up_at_once() {
    let row = send(settings(25), Zone::default().mx("d.example", 0, "."), "alice@d.example").await;
    assert!(!row.is_sent && row.due_at.is_none() && row.reply.unwrap().contains("null MX"));
    let row = send(settings(25), Zone::default(), "alice@gone.example").await;
    assert!(!row.is_sent && row.due_at.is_none() && row.reply.unwrap().contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_to_a_private_address_or_back_to_us() {
    let zone = Zone::default().mx("d.example", 10, "inside.example").address("inside.example", "169.254.169.254");
    let row = send(settings(25), zone, "alice@d.example").await;
    assert!(row.due_at.is_some() && row.reply.as_ref().unwrap().contains("not a public address"), "{row:?}");
    let row = send(settings(25), Zone::default().mx("d.example", 10, OWN), "alice@d.example").await;
    assert!(row.due_at.is_some() && row.reply.as_ref().unwrap().contains("is this one"), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_it_and_a_deferral_does_not() {
    let sink = Primary::listen("127.0.22.4", 0);
    let zone = || Zone::default().address("d.example", "127.0.22.4");
    sink.refuse(Some("550 5.1.1 no"));
    let row = send(settings(sink.address.port()), zone(), "alice@d.example").await;
    assert!(!row.is_sent && row.due_at.is_none(), "{row:?}");
    sink.refuse(Some("451 4.7.1 greylisted"));
    let row = send(settings(sink.address.port()), zone(), "alice@d.example").await;
    assert!(row.due_at.is_some() && row.reply.as_ref().unwrap().contains("451 4.7.1"), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_taken_where_offered_and_a_login_is_said_over_it() {
    let sink = Primary::listen_tls("127.0.22.5", 0);
    let host = |login| Settings {
        smart_host: Some(SmartHost { host: "relay.example".to_owned(), port: sink.address.port(), login }),
        ..settings(25)
    };
    let zone = || Zone::default().address("relay.example", "127.0.22.5");
    let row = send(host(None), zone(), "alice@d.example").await;
    assert!(row.is_sent, "opportunistic: {row:?}");
    // Beyond this machine the name would have to be vouched for; within it a login may be said.
    let row = send(host(Some(("user".to_owned(), "secret".to_owned()))), zone(), "alice@d.example").await;
    assert!(row.is_sent, "{row:?}");
}
