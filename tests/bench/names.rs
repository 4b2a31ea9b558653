//! What dynamic names cost: a million of them beside a thousand, in memory, in time to load, to change and to answer.
//!
//! `cargo bench --bench names` takes about half a minute; `PULSEMX_BENCH_NAMES=50000 cargo bench --bench names` a few
//! seconds. Questions are read, looked up and answered in full, without sockets. Prints lines `figure NAME NUMBER`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use pulsemx::base::{AccountId, Clock, DomainName, EndpointId};
use pulsemx::dns::answer::{Terms, respond};
use pulsemx::dns::catalog::Catalog;
use pulsemx::dns::front::{FrontMachine, NameEvent};
use pulsemx::dns::owner::Owner;
use pulsemx::dns::query;
use pulsemx::dns::settings::{Offline, Settings};
use pulsemx::liveness::LineState;

const NAMES: u32 = 1_000_000;
const FEW: u32 = 1_000;
const QUESTIONS: u32 = 2_000_000;
/// Rounds of both catalogs in turn; the median counts.
const ROUNDS: usize = 5;
const CHANGES: u32 = 200_000;

fn settings() -> Settings {
    let domain = |text| DomainName::parse(text).unwrap();
    Settings {
        zone: domain("dyn.example"),
        name_servers: vec![domain("mx2.example.net")],
        contact: domain("hostmaster.dyn.example"),
        backup_mx: domain("mx2.example.net"),
        ttl: Duration::from_secs(30),
        offline: Offline::Park,
        own_addresses: vec!["192.0.2.1".parse().unwrap()],
        neutral_addresses: Vec::new(),
        allow_loopback: false,
        smtp_addresses: vec!["192.0.2.1:25".parse().unwrap()],
        answers_per_second: 0,
        exempt_networks: Vec::new(),
        connections_max: 100,
    }
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0b00_0000 + number).into()
}

/// As after a start: every line is up at an address of its own.
fn catalog(names: u32) -> Catalog {
    let (now, wall) = (Clock.monotonic(), Clock.wall());
    let mut catalog = Catalog::new(settings(), wall).unwrap();
    catalog.reserve(usize::try_from(names).unwrap());
    for number in 0..names {
        let owner = Owner::of_domain(&DomainName::parse(&format!("firma{number}.dyn.example")).unwrap());
        let ids = (EndpointId(i64::from(number) + 1), AccountId(i64::from(number) + 1));
        catalog.add_server(owner, ids, true, FrontMachine::new());
        let at = address(number);
        for event in [
            NameEvent::Moved(at),
            NameEvent::Greeted { address: at, at: wall },
            NameEvent::State { to: LineState::Online, at: wall },
        ] {
            catalog.handle(ids.0, event, now);
        }
    }
    catalog
}

/// A question for the A or MX records of a name (RFC 1035 §4.1), every one of them in an order memory does not have.
fn question(position: u32, names: u32, out: &mut Vec<u8>) {
    let number = u64::from(position) * 618_033_989 % u64::from(names);
    let label = format!("firma{number}");
    let kind = if position.is_multiple_of(2) { 1 } else { 15 };
    out.clear();
    out.extend_from_slice(&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [label.as_str(), "dyn", "example"] {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, kind, 0, 1]);
}

/// Answers a second on one core, the making of the questions left out.
fn answers(catalog: &Catalog, names: u32) -> f64 {
    let questions: Vec<Vec<u8>> = (0..QUESTIONS / 10)
        .map(|position| {
            let mut octets = Vec::new();
            question(position, names, &mut octets);
            octets
        })
        .collect();
    let mut out = Vec::with_capacity(1_024);
    let begun = Instant::now();
    for _ in 0..10 {
        for octets in &questions {
            out.clear();
            respond(catalog, octets, &query::read(octets).unwrap(), Terms::default(), &mut out);
            // QR and AA are set, and there is an answer.
            assert!(out[2] & 0x84 == 0x84 && out[7] > 0, "not answered");
        }
    }
    f64::from(QUESTIONS) / begun.elapsed().as_secs_f64()
}

fn resident_octets() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() {
    let names = std::env::var("PULSEMX_BENCH_NAMES").map_or(NAMES, |text| text.parse().expect("a number"));
    let few = catalog(FEW);
    let (before, begun) = (resident_octets(), Instant::now());
    let mut many = catalog(names);
    let loaded = begun.elapsed();
    let octets = (resident_octets() - before) as f64 / f64::from(names);
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_few.push(answers(&few, FEW));
        of_many.push(answers(&many, names));
    }
    let (of_few, of_many) = (median(of_few), median(of_many));
    let (now, begun) = (Clock.monotonic(), Instant::now());
    for position in 0..CHANGES {
        let number = u32::try_from(u64::from(position) * 618_033_989 % u64::from(names)).unwrap();
        many.handle(EndpointId(i64::from(number) + 1), NameEvent::Moved(address(number ^ 1)), now);
    }
    let change = begun.elapsed() / CHANGES;
    println!("{names} names loaded in {loaded:.2?}; a change of address takes {change:.2?}");
    println!("figure bytes_per_name {octets:.0}");
    println!("figure load_seconds {:.2}", loaded.as_secs_f64());
    println!("figure answers_per_second_of_a_thousand {of_few:.0}");
    println!("figure answers_per_second_of_all {of_many:.0}");
    println!("figure answers_ratio {:.2}", of_many / of_few);
}
