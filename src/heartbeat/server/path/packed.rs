//! A path at rest in one cache line; whatever does not fit stays a whole [`Path`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Path, Run, Session, Source, State, Stored};
use crate::base::Moment;
use crate::heartbeat::datagram::{BootId, Locator};
use crate::heartbeat::window::Window;

/// A path at rest. Which endpoint it is of is kept here as well, since the line has room for it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(in crate::heartbeat::server) struct Packed {
    boot: u64,
    seen: u64,
    v6: [u8; 16],
    v4: [u8; 4],
    top: u32,
    /// Place of the key that the run uses.
    key: u32,
    pub(in crate::heartbeat::server) account: u32,
    pub(in crate::heartbeat::server) endpoint: u32,
    port: u16,
    interval_cs: u16,
    heard_ms: [u8; 5],
    span: u8,
    flags: u8,
    socket: u8,
}

const HAS_V4: u8 = 1;
const HAS_V6: u8 = 1 << 1;
const IS_OPEN: u8 = 1 << 2;
const IS_CLOSED: u8 = 1 << 3;
/// The source is the IPv6 address, else the IPv4 one.
const FROM_V6: u8 = 1 << 4;

/// The path is kept whole elsewhere; what stands here is old.
const IS_ELSEWHERE: u8 = 1 << 5;

const fn flag(flag: u8, on: bool) -> u8 {
    if on { flag } else { 0 }
}

impl Packed {
    /// Of nobody.
    pub(in crate::heartbeat::server) const VACANT: Self = Self {
        boot: 0,
        seen: 0,
        v6: [0; 16],
        v4: [0; 4],
        top: 0,
        key: 0,
        account: 0,
        endpoint: 0,
        port: 0,
        interval_cs: 0,
        heard_ms: [0; 5],
        span: 0,
        flags: 0,
        socket: 0,
    };

    /// The place of the key that the run uses, if there is a run.
    pub(in crate::heartbeat::server) fn key_in_use(&self) -> Option<u32> {
        (self.flags & (IS_OPEN | IS_CLOSED) != 0).then_some(self.key)
    }

    /// Forgets the run.
    pub(in crate::heartbeat::server) const fn close(&mut self) {
        self.flags &= HAS_V4 | HAS_V6 | IS_ELSEWHERE;
    }

    /// Whether the path is kept whole elsewhere.
    pub(in crate::heartbeat::server) const fn is_elsewhere(&self) -> bool {
        self.flags & IS_ELSEWHERE != 0
    }

    /// The path is kept whole elsewhere, until the next [`store`](Self::store) that succeeds.
    pub(in crate::heartbeat::server) const fn set_elsewhere(&mut self) {
        self.flags |= IS_ELSEWHERE;
    }

    /// Takes over the path, unless anything about it is unusual. `place_of` tells the place of the key of its run.
    #[must_use]
    pub(in crate::heartbeat::server) fn store(
        &mut self,
        path: &Path,
        place_of: impl FnOnce(Locator) -> Option<u32>,
    ) -> bool {
        // Named one by one, so that a new field cannot be forgotten here.
        let Path { state, stored: Stored { v4, v6 }, replaced, left } = path;
        if !replaced.is_empty() || left.is_some() {
            return false;
        }
        let mut flags = flag(HAS_V4, v4.is_some()) | flag(HAS_V6, v6.is_some());
        let stored = path.stored;
        match state {
            State::Unopened => {}
            State::Open(session) => {
                let Session { run, window, source, heard, interval, candidate: None, contested: None } = session else {
                    return false;
                };
                let is_from_v6 = source.peer.is_ipv6();
                let (Some(key), Some(socket), Ok(interval_cs)) = (
                    place_of(run.locator),
                    pack_socket(source.socket),
                    u16::try_from(interval.as_millis() / CENTISECOND_MS),
                ) else {
                    return false;
                };
                let [.., 0, 0, 0] = heard.as_millis().to_le_bytes() else { return false };
                let [a, b, c, d, e, ..] = heard.as_millis().to_le_bytes();
                let is_whole_peer = stored
                    .same_family(source.peer.ip())
                    .is_some_and(|ip| SocketAddr::new(ip, source.peer.port()) == source.peer);
                if !is_whole_peer || interval.as_millis() % CENTISECOND_MS != 0 {
                    return false;
                }
                self.set_run(*run, key, window);
                self.heard_ms = [a, b, c, d, e];
                (self.port, self.socket, self.interval_cs) = (source.peer.port(), socket, interval_cs);
                flags |= IS_OPEN | flag(FROM_V6, is_from_v6);
            }
            State::Closed { run, window, address } => {
                let Some(key) = place_of(run.locator).filter(|_| stored.contains(*address)) else { return false };
                self.set_run(*run, key, window);
                flags |= IS_CLOSED | flag(FROM_V6, address.is_ipv6());
            }
        }
        self.v4 = v4.map_or([0; 4], |v4| v4.octets());
        self.v6 = v6.map_or([0; 16], |v6| v6.octets());
        self.flags = flags;
        true
    }

    fn set_run(&mut self, run: Run, key: u32, window: &Window) {
        self.boot = run.boot.0;
        self.key = key;
        (self.top, self.seen, self.span) = window.parts();
    }

    /// Whether the client has proven this address. A packed run is at one of the stored addresses.
    pub(in crate::heartbeat::server) fn is_home(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.flags & HAS_V4 != 0 && self.v4 == v4.octets(),
            IpAddr::V6(v6) => self.flags & HAS_V6 != 0 && self.v6 == v6.octets(),
        }
    }

    /// The whole path again. `locator_at` tells the locator of the key at a place.
    #[must_use]
    pub(in crate::heartbeat::server) fn load(&self, locator_at: impl FnOnce(u32) -> Locator) -> Path {
        let has = |flag: u8| self.flags & flag != 0;
        let stored = Stored {
            v4: has(HAS_V4).then(|| Ipv4Addr::from(self.v4)),
            v6: has(HAS_V6).then(|| Ipv6Addr::from(self.v6)),
        };
        if !has(IS_OPEN | IS_CLOSED) {
            return Path::new(stored);
        }
        let run = Run { locator: locator_at(self.key), boot: BootId(self.boot) };
        let window = Window::from_parts(self.top, self.seen, self.span);
        let address =
            if has(FROM_V6) { IpAddr::V6(Ipv6Addr::from(self.v6)) } else { IpAddr::V4(Ipv4Addr::from(self.v4)) };
        let state = if has(IS_CLOSED) {
            State::Closed { run, window, address }
        } else {
            let [a, b, c, d, e] = self.heard_ms;
            State::Open(Session {
                run,
                window,
                source: Source { peer: SocketAddr::new(address, self.port), socket: unpack_socket(self.socket) },
                heard: Moment::from_millis(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])),
                interval: Duration::from_millis(u64::from(self.interval_cs) * 10),
                candidate: None,
                contested: None,
            })
        };
        Path { state, ..Path::new(stored) }
    }
}

/// In the place of a socket: [`Source::OVER_HTTP`].
const OVER_HTTP: u8 = u8::MAX;

fn pack_socket(socket: usize) -> Option<u8> {
    if socket == Source::OVER_HTTP {
        return Some(OVER_HTTP);
    }
    u8::try_from(socket).ok().filter(|socket| *socket != OVER_HTTP)
}

fn unpack_socket(socket: u8) -> usize {
    if socket == OVER_HTTP { Source::OVER_HTTP } else { usize::from(socket) }
}

/// Milliseconds in the unit of packed intervals.
const CENTISECOND_MS: u128 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn open(socket: usize) -> Path {
        let peer: SocketAddr = "203.0.113.7:40000".parse().unwrap();
        let session = Session {
            run: Run { locator: Locator([7; 8]), boot: BootId(9) },
            window: Window::opened_by(5),
            source: Source { peer, socket },
            heard: Moment::from_millis(123_456),
            interval: Duration::from_secs(5),
            candidate: None,
            contested: None,
        };
        let stored = [peer.ip()].into_iter().collect();
        Path { state: State::Open(session), ..Path::new(stored) }
    }

    #[test]
    fn a_path_over_http_is_at_rest_like_one_over_a_socket() {
        for (socket, is_packed) in [(0, true), (254, true), (Source::OVER_HTTP, true), (255, false), (70_000, false)] {
            let mut row = Packed::VACANT;
            assert_eq!(row.store(&open(socket), |_| Some(3)), is_packed, "socket {socket}");
            if let State::Open(session) = row.load(|_| Locator([7; 8])).state {
                assert_eq!((session.source.socket, session.heard), (socket, Moment::from_millis(123_456)));
            } else {
                assert!(!is_packed);
            }
        }
    }
}
