//! `kill -9` at random moments under load: every acknowledged message arrives; what arrives twice is counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const KILLS: u64 = 50;
const SENDERS: u64 = 6;
/// Connections to one primary (`delivery.per_account`).
const LANES: u64 = 4;

/// A small generator, so that a run can be repeated: the seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn seed() -> u64 {
    let seed = std::env::var("PULSEMX_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) * 7_919 + 1);
    println!("PULSEMX_SEED={seed}");
    seed
}

/// Sends mails one after the other until told to stop; keeps the names of those that were acknowledged.
fn send_until(
    stop: &AtomicBool,
    smtp: std::net::SocketAddr,
    me: u64,
    counter: &AtomicU64,
    acknowledged: &Mutex<Vec<String>>,
) {
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut sender) = Sender::connect(smtp) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        while !stop.load(Ordering::SeqCst) {
            let name = format!("s{me}-{}", counter.fetch_add(1, Ordering::SeqCst));
            match sender.send("a@sender.example", "x@firma.example", &mail(&name)) {
                Ok(reply) if reply.starts_with("250 2.0.0 ") => acknowledged.lock().unwrap().push(name),
                Ok(reply) => assert!(reply.starts_with('4'), "only deferrals are expected here: {reply}"),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn no_acknowledged_message_is_lost_by_fifty_kills() {
    let mut random = Random(seed());
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.12.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, "127.0.12.1", Some("1s"));
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let counter = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|me| {
            let (stop, acknowledged, counter, smtp) =
                (Arc::clone(&stop), Arc::clone(&acknowledged), Arc::clone(&counter), server.smtp);
            std::thread::spawn(move || send_until(&stop, smtp, me, &counter, &acknowledged))
        })
        .collect();
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(20 + random.below(400)));
        server.kill();
        server.run();
        assert!(server.is_balanced("firma"), "counters and rows differ after a kill");
    }
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.join().unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() > 500, "hardly any load: {}", acknowledged.len());
    wait_for("the spool is empty", Duration::from_secs(120), || (server.account("firma")["held"] == 0).then_some(()));
    let mut times: HashMap<String, usize> = HashMap::new();
    for message in primary.arrived() {
        let content = String::from_utf8(message.content).unwrap();
        let name = content.split("Subject: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
        assert!(content.ends_with(&mail(&name)), "changed on the way: {content}");
        *times.entry(name).or_default() += 1;
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !times.contains_key(*name)).collect();
    let twice: usize = times.values().map(|n| n - 1).sum();
    println!("{} acknowledged, {} lost, {twice} arrived twice, {KILLS} kills", acknowledged.len(), lost.len());
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(server.is_balanced("firma"));
    // One message for each connection that was open at a crash.
    assert!(twice as u64 <= KILLS * LANES, "{twice} duplicates");
}
