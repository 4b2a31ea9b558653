//! How long the first page of the list of held mail takes with each filter, over a million stored messages of one
//! account on disk.
//!
//! `cargo bench --bench held_list` fills a database in a temporary folder (minutes, 2 GB) and prints lines
//! `figure NAME NUMBER` in milliseconds, the slowest of some asks; `PULSEMX_BENCH_MESSAGES=50000` takes seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use pulsemx::account::{AccountStore, BeatKeyRecord, Change, NewAccount};
use pulsemx::base::{AccountId, Clock, DomainName, EndpointId, Mailbox, ReversePath, SpoolIds, WallTime};
use pulsemx::spool::{
    BodyType, ClaimOrder, ClaimQuery, HeaderSummary, MessageDsn, NewMessage, NewRecipient, Outcome, RecipientDsn,
    Report, Ruling, SearchQuery, SpoolStore, StateFilter, Words,
};
use pulsemx::store::sqlite::{Settings, SqliteStore};

const MESSAGES: i64 = 1_000_000;
/// Commits under way at once.
const BATCH: i64 = 2_000;
/// Asks of each filter.
const ASKS: usize = 20;
/// Messages that are delivered, refused or kept back in the end.
const RARE: usize = 3;

fn change(at: WallTime) -> Change {
    Change { at, who: "bench".to_owned() }
}

fn mail(ids: &SpoolIds, account: AccountId, n: i64, at: WallTime) -> NewMessage {
    let content = Bytes::from(format!("Subject: {n}\r\n\r\nhello\r\n"));
    NewMessage {
        id: ids.next(at, 1),
        accepted_at: at,
        reverse_path: ReversePath::parse(&format!("sender{n}@shop{}.example", n % 997), false).unwrap(),
        recipients: vec![NewRecipient {
            account,
            mailbox: Mailbox::parse(&format!("person{}@firma.example", n % 50), false).unwrap(),
            dsn: RecipientDsn::default(),
        }],
        smtputf8: false,
        requires_tls: false,
        body: BodyType::EightBitMime,
        dsn: MessageDsn::default(),
        trace: Bytes::from(vec![b'x'; 300]),
        sha256: [7; 32],
        octets: content.len() as u64,
        header: HeaderSummary {
            subject: format!("Offer {n}"),
            from: "Shop <shop@shop.example>".to_owned(),
            message_id: format!("<{n}@shop.example>"),
            is_bulk: false,
        },
        peer: [192, 0, 2, 9].into(),
        helo: "mx.elsewhere.example".to_owned(),
        tls: Some("TLSv1.3".to_owned()),
        chunks_ahead: 0,
        tail: vec![content],
    }
}

async fn fill(store: &SqliteStore, account: AccountId, messages: i64, now: WallTime) {
    let ids = SpoolIds::default();
    let begin = now - chrono::Duration::milliseconds(messages * 100);
    let mut last = Vec::new();
    for from in (0..messages).step_by(usize::try_from(BATCH).unwrap()) {
        let batch: Vec<_> = (from..(from + BATCH).min(messages))
            .map(|n| mail(&ids, account, n, begin + chrono::Duration::milliseconds(n * 100)))
            .collect();
        last = batch.iter().map(|message| message.id).collect();
        for stored in join_all(batch.into_iter().map(|message| store.intake_commit(message))).await {
            stored.unwrap();
        }
    }
    for (n, id) in last.iter().rev().take(2 * RARE).enumerate() {
        let ruling = if n < RARE { Ruling::Fail } else { Ruling::Hold };
        store.rule(*id, ruling, change(now)).await.unwrap();
    }
    let query = ClaimQuery {
        account,
        domains: Vec::new(),
        now,
        messages_max: u32::try_from(RARE).unwrap(),
        octets_max: u64::MAX,
        order: ClaimOrder::OldestFirst,
    };
    let claimed = store.claim(query).await.unwrap();
    let reply = pulsemx::spool::DeliveryReply { code: Some(250), text: "2.0.0 ok".to_owned() };
    let taken = || Outcome::Delivered { reply: reply.clone() };
    let reports = claimed.iter().map(|c| Report { id: c.id, outcomes: vec![(0, taken())], via: None }).collect();
    store.report(reports, now).await.unwrap();
}

/// Asks with each filter, several times.
async fn ask(store: &SqliteStore, account: AccountId, messages: i64, now: WallTime) {
    let last = messages - 10;
    let whole = format!("sender{last}@shop{}.example", last % 997);
    let hour = Some(now - chrono::Duration::hours(1));
    for (name, filter, typed, from, until) in [
        ("held", StateFilter::Held, "", None, None),
        ("waiting", StateFilter::Waiting, "", None, None),
        ("kept_back", StateFilter::KeptBack, "", None, None),
        ("refused", StateFilter::Refused, "", None, None),
        ("delivered", StateFilter::Delivered, "", None, None),
        ("last_hour", StateFilter::Held, "", hour, None),
        ("before_last_hour", StateFilter::Held, "", None, hour),
        ("sender", StateFilter::Held, whole.as_str(), None, None),
        ("recipient", StateFilter::Waiting, "person7@firma.example", None, None),
        ("recipient_refused", StateFilter::Refused, "person7@firma.example", None, None),
        ("part_of_many", StateFilter::Held, "shop7.example", None, None),
        ("part_of_none", StateFilter::Held, "nobody-at-all", None, None),
        ("part_delivered", StateFilter::Delivered, "sender", None, None),
    ] {
        let words = Words::parse(typed);
        let query =
            SearchQuery { account, filter, words, accepted_from: from, accepted_until: until, after: None, limit: 50 };
        let (mut slowest, mut rows) = (0.0f64, 0);
        for _ in 0..ASKS {
            let asked = Instant::now();
            let page = store.search(query.clone()).await.unwrap();
            slowest = slowest.max(asked.elapsed().as_secs_f64() * 1_000.0);
            rows = page.rows.len();
        }
        println!("figure {name}_ms {slowest:.1} rows {rows}");
    }
}

#[tokio::main]
async fn main() {
    let messages = std::env::var("PULSEMX_BENCH_MESSAGES").map_or(MESSAGES, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(Settings::at(folder.path().join("pulsemx.db"))).unwrap();
    let now = Clock.wall();
    let key = BeatKeyRecord {
        endpoint: EndpointId(0),
        locator: [1; 8],
        sealed_mac_keys: vec![1; 40],
        move_key: [0; 32],
        bearer_verifier: [0; 32],
        created_at: now,
        expires_at: None,
    };
    let host = DomainName::parse("firma.dyn.example").unwrap();
    let domains = vec![DomainName::parse("firma.example").unwrap()];
    let new = NewAccount { name: "firma".parse().unwrap(), host, smtp_port: 25, domains, key };
    let (account, _) = store.create_account(new, change(now)).await.unwrap();
    let begin = Instant::now();
    fill(&store, account, messages, now).await;
    println!("figure messages {messages}");
    println!("figure stored_per_s {:.0}", messages as f64 / begin.elapsed().as_secs_f64());

    ask(&store, account, messages, now).await;
    store.close();
}
