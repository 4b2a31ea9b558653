//! A router with address translation: one mapping for each socket of a client, which may freeze or be cut.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Passes datagrams on between clients and a server, from an address of its own, while it is told to.
pub struct Relay {
    /// Where clients send to.
    pub address: SocketAddr,
    works: Arc<AtomicBool>,
    mappings: Arc<Mutex<HashMap<SocketAddr, Mapping>>>,
    passed: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone)]
struct Mapping {
    outer: Arc<UdpSocket>,
    is_frozen: Arc<AtomicBool>,
}

impl Relay {
    /// `own` is the address that the server sees.
    pub fn start(own: &str, server: SocketAddr) -> Self {
        let own = own.to_owned();
        let inner = Arc::new(UdpSocket::bind((own.as_str(), 0)).unwrap());
        let relay = Self {
            address: inner.local_addr().unwrap(),
            works: Arc::new(AtomicBool::new(true)),
            mappings: Arc::default(),
            passed: Arc::default(),
        };
        let (works, mappings, passed) =
            (Arc::clone(&relay.works), Arc::clone(&relay.mappings), Arc::clone(&relay.passed));
        std::thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok((length, client)) = inner.recv_from(&mut octets) {
                let open = || open(&own, server, client, Arc::clone(&inner), Arc::clone(&works));
                let mapping = mappings.lock().unwrap().entry(client).or_insert_with(open).clone();
                if works.load(Ordering::SeqCst) && !mapping.is_frozen.load(Ordering::SeqCst) {
                    let _ = mapping.outer.send(&octets[..length]);
                    passed.lock().unwrap().push(octets[..length].to_vec());
                }
            }
        });
        relay
    }

    /// Whether anything gets through at all.
    pub fn set(&self, works: bool) {
        self.works.store(works, Ordering::SeqCst);
    }

    /// The mappings of now let nothing through any more, ever; new ones work. How many there were.
    pub fn freeze(&self) -> usize {
        let mappings = self.mappings.lock().unwrap();
        mappings.values().for_each(|mapping| mapping.is_frozen.store(true, Ordering::SeqCst));
        mappings.len()
    }

    /// How many sockets of clients were seen.
    pub fn mappings(&self) -> usize {
        self.mappings.lock().unwrap().len()
    }

    /// What was passed on to the server so far.
    pub fn passed(&self) -> Vec<Vec<u8>> {
        self.passed.lock().unwrap().clone()
    }
}

/// A mapping for one socket of a client, and the way back through it.
fn open(own: &str, server: SocketAddr, client: SocketAddr, inner: Arc<UdpSocket>, works: Arc<AtomicBool>) -> Mapping {
    let outer = Arc::new(UdpSocket::bind((own, 0)).unwrap());
    outer.connect(server).unwrap();
    let mapping = Mapping { outer, is_frozen: Arc::default() };
    let back = mapping.clone();
    std::thread::spawn(move || {
        let mut octets = [0; 512];
        loop {
            // Fails while the server is away.
            let Ok(length) = back.outer.recv(&mut octets) else { continue };
            if works.load(Ordering::SeqCst) && !back.is_frozen.load(Ordering::SeqCst) {
                let _ = inner.send_to(&octets[..length], client);
            }
        }
    });
    mapping
}
