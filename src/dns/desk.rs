//! Answers each question in the way it came: over UDP within limits, over streams, signed ones, and transfers.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hickory_proto::op::Message;
use tokio::sync::{Notify, mpsc};

use super::amend::Update;
use super::amend::driver::{Job, Reply, set_code};
use super::amend::replay::{Memory, Seen};
use super::answer::{AXFR, IXFR, Terms, respond_at, respond_code, respond_slip};
use super::catalog::Catalog;
use super::cookie::CookieKey;
use super::limit::{Limiter, Permit};
use super::owner::Owner;
use super::query::{self, Code, Unreadable};
use super::records::RecordError;
use super::secondary::Access;
use super::settings::Settings;
use super::special::Special;
use super::transfer::{Histories, RECORDS_MAX, Wanted, messages};
use super::tsig::{Refusal, Signed, seconds};
use crate::base::{Moment, WallTime};

/// Answers questions. Shared by all sockets.
pub struct Desk {
    catalog: RwLock<Catalog>,
    cookies: CookieKey,
    limiter: Limiter,
    exempt: Vec<ipnet::IpNet>,
    access: RwLock<Access>,
    histories: Mutex<Histories>,
    /// Updates that were carried out lately.
    replays: Mutex<Memory>,
    /// To those who carry updates out.
    jobs: OnceLock<mpsc::Sender<Job>>,
    /// Who may follow a zone has changed.
    pub(super) has_new_access: Notify,
}

impl Desk {
    /// Serves no zone but the service's own.
    ///
    /// # Errors
    /// [`RecordError`] for settings that have no wire form.
    pub fn new(settings: Settings, access: Access, secret: [u8; 16], now: WallTime) -> Result<Self, RecordError> {
        Ok(Self {
            cookies: CookieKey::new(secret),
            limiter: Limiter::new(settings.answers_per_second),
            exempt: settings.exempt_networks.clone(),
            catalog: RwLock::new(Catalog::new(settings, now)?),
            access: RwLock::new(access),
            histories: Mutex::default(),
            replays: Mutex::new(Memory::new(seconds(now))),
            jobs: OnceLock::new(),
            has_new_access: Notify::new(),
        })
    }

    /// The catalog, to be changed.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may follow which zone.
    pub fn access(&self) -> RwLockReadGuard<'_, Access> {
        self.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates that were carried out lately.
    pub(super) fn replays(&self) -> MutexGuard<'_, Memory> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who carries updates out; without anybody all are refused.
    pub(super) fn hand_updates_to(&self, jobs: mpsc::Sender<Job>) {
        // Set once, at the start.
        let _ = self.jobs.set(jobs);
    }

    /// Whether a message is an update of a zone (RFC 2136 §2.2).
    #[must_use]
    pub fn is_update(octets: &[u8]) -> bool {
        octets.get(2).is_some_and(|flags| flags & 0xf8 == 0x28)
    }

    /// Takes an update in; its answer comes by `reply`, perhaps later. A datagram beyond the limits gets none.
    pub fn take_update(
        &self,
        octets: &[u8],
        peer: SocketAddr,
        (now, wall): (Moment, WallTime),
        is_stream: bool,
        reply: Reply,
    ) {
        // Signatures cost more than answers: the limit comes first.
        if !is_stream && !self.is_exempt(peer.ip()) && self.limiter.take(peer.ip(), now) != Permit::Send {
            return;
        }
        let bare = |code| {
            let mut answer = Vec::new();
            respond_code(octets, code, 0, false, &mut answer);
            answer
        };
        let Ok(message) = Message::from_vec(octets) else { return reply(bare(Code::FormErr)) };
        let [zone] = message.queries.as_slice() else { return reply(bare(Code::FormErr)) };
        let special = Special { name: Owner::of_name(zone.name()), wanted: None, message: message.clone() };
        let mut answer = special.coded(octets, Code::NotAuth);
        let verified = self.access().keys().verify(octets, &message, wall);
        let mut signed = match verified {
            Ok(Some(signed)) => signed,
            Ok(None) => return reply(special.coded(octets, Code::Refused)),
            Err(refusal) => {
                if refusal.complete(message.metadata.id, &mut answer, wall).is_ok() {
                    reply(answer);
                }
                return;
            }
        };
        let (key, mac) = (signed.key().clone(), signed.mac().to_vec());
        let seen = self.replays().take(&key, &mac, signed.signed_s(), seconds(wall));
        let code = match seen {
            Seen::Running => return,
            Seen::Old => {
                if Refusal::Time(signed).complete(message.metadata.id, &mut answer, wall).is_ok() {
                    reply(answer);
                }
                return;
            }
            Seen::Answered(code) => code,
            Seen::Full => Code::ServFail,
            Seen::New => match (Update::read(&message), self.jobs.get()) {
                (Ok(update), Some(jobs)) => {
                    let job = Job { update, signed, peer, answer, reply };
                    let Err(full) = jobs.try_send(job) else { return };
                    self.replays().forget(&key, &mac);
                    let job = full.into_inner();
                    let Job { mut signed, mut answer, reply, .. } = job;
                    set_code(&mut answer, Code::ServFail);
                    if signed.seal(&mut answer, wall).is_ok() {
                        reply(answer);
                    }
                    return;
                }
                (Ok(_), None) => Code::Refused,
                (Err(code), _) => code,
            },
        };
        self.replays().answered(&key, &mac, code);
        set_code(&mut answer, code);
        if signed.seal(&mut answer, wall).is_ok() {
            reply(answer);
        }
    }

    /// Changes who may follow which zone.
    pub fn change_access(&self, change: impl FnOnce(&mut Access)) {
        change(&mut self.access.write().unwrap_or_else(PoisonError::into_inner));
        self.has_new_access.notify_one();
    }

    /// A zone is served no more: nobody follows it, and its past is nobody's.
    pub fn forget_zone(&self, apex: &Owner) {
        self.change_access(|access| access.forget_zone(apex));
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).forget(apex);
    }

    /// The catalog as it is, for a batch of questions.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the answer to a datagram, if it gets one.
    pub fn answer_datagram(
        &self,
        catalog: &Catalog,
        octets: &[u8],
        peer: IpAddr,
        (now, wall): (Moment, WallTime),
        out: &mut Vec<u8>,
    ) {
        let read = query::read(octets);
        let cookie = read.as_ref().ok().and_then(|query| query.edns).and_then(|edns| edns.cookie);
        let is_known = cookie.is_some_and(|cookie| self.cookies.is_ours(&cookie, peer, wall));
        let permit = if is_known || self.is_exempt(peer) { Permit::Send } else { self.limiter.take(peer, now) };
        match (read, permit) {
            (Err(Unreadable::Silent), _) | (_, Permit::Drop) => {}
            (Err(Unreadable::Coded { code, question_octets, has_edns }), Permit::Send) => {
                match self.answer_special(octets, peer, wall, false).as_deref() {
                    Some([answer, ..]) => out.extend_from_slice(answer),
                    _ => respond_code(octets, code, question_octets, has_edns, out),
                }
            }
            (Err(Unreadable::Coded { .. }), Permit::Slip) => {}
            (Ok(query), permit) => {
                let cookie = cookie.map(|cookie| self.cookies.answer(&cookie, peer, wall));
                let terms = Terms { is_stream: false, cookie };
                if permit == Permit::Send {
                    respond_at(catalog, octets, &query, terms, wall, out);
                } else {
                    respond_slip(octets, &query, terms, out);
                }
            }
        }
    }

    /// Appends the answers to a question over a stream, where a handshake has proven the asker's address; each has its
    /// length in front (RFC 1035 §4.2.2). There are several for a transfer only, which may take a while.
    pub fn answer_stream(&self, octets: &[u8], peer: IpAddr, wall: WallTime, out: &mut Vec<u8>) {
        let mut answer = Vec::new();
        match query::read(octets) {
            Err(Unreadable::Silent) => {}
            Ok(query) if !matches!(query.record_type, AXFR | IXFR) => {
                let cookie = query.edns.and_then(|edns| edns.cookie);
                let cookie = cookie.map(|cookie| self.cookies.answer(&cookie, peer, wall));
                let terms = Terms { is_stream: true, cookie };
                respond_at(&self.catalog(), octets, &query, terms, wall, &mut answer);
            }
            read => match (self.answer_special(octets, peer, wall, true), read) {
                (Some(answers), _) => answers.iter().for_each(|answer| push_framed(answer, out)),
                (None, Err(Unreadable::Coded { code, question_octets, has_edns })) => {
                    respond_code(octets, code, question_octets, has_edns, &mut answer);
                }
                (None, Ok(_) | Err(Unreadable::Silent)) => {}
            },
        }
        push_framed(&answer, out);
    }

    /// Whether an answer may take so long that others should not wait behind it.
    #[must_use]
    pub fn is_transfer(octets: &[u8]) -> bool {
        // Also what only looks like one, such as a question with a record behind it.
        !matches!(query::read(octets), Ok(query) if !matches!(query.record_type, AXFR | IXFR))
    }

    /// Answers to what is signed or asks for a transfer; absent for all else.
    fn answer_special(&self, octets: &[u8], peer: IpAddr, wall: WallTime, is_stream: bool) -> Option<Vec<Vec<u8>>> {
        let special = Special::read(octets)?;
        let mut signed = match self.access().keys().verify(octets, &special.message, wall) {
            Ok(signed) => signed,
            Err(refusal) => {
                let mut answer = special.coded(octets, Code::NotAuth);
                refusal.complete(special.message.metadata.id, &mut answer, wall).ok()?;
                return Some(vec![answer]);
            }
        };
        let mut answers = match special.wanted {
            Some(wanted) => self.transfer(&special, octets, (peer, signed.as_ref()), wanted, is_stream),
            None => vec![special.answer_plain(&self.catalog(), is_stream)?],
        };
        if let Some(signed) = &mut signed {
            for answer in &mut answers {
                if let Err(error) = signed.seal(answer, wall) {
                    tracing::error!(%error, "an answer is not signed and not sent");
                    return Some(Vec::new());
                }
            }
        }
        Some(answers)
    }

    fn transfer(
        &self,
        special: &Special,
        octets: &[u8],
        (peer, signed): (IpAddr, Option<&Signed>),
        wanted: Wanted,
        is_stream: bool,
    ) -> Vec<Vec<u8>> {
        let refused = || vec![special.coded(octets, Code::Refused)];
        let whole_over_udp = !is_stream && wanted == Wanted::Whole;
        if whole_over_udp || !self.access().may_follow(&special.name, peer, signed) {
            return refused();
        }
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = match self.catalog().snapshot(&special.name, RECORDS_MAX) {
            Some(Ok(snapshot)) => snapshot,
            Some(Err(records)) => {
                tracing::warn!(zone = %special.name, records, most = RECORDS_MAX, "a zone is too large to be transferred");
                return refused();
            }
            None => return refused(),
        };
        if !is_stream {
            // "It is too long, ask over TCP" (RFC 1995 §2).
            return messages(&special.header(octets), &[snapshot.soa], special.has_edns());
        }
        let records = histories.records(&special.name, snapshot, wanted);
        drop(histories);
        messages(&special.header(octets), &records, special.has_edns())
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        !self.exempt.is_empty() && self.exempt.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}

/// An empty answer is none.
pub(super) fn push_framed(answer: &[u8], out: &mut Vec<u8>) {
    if let Some(length) = u16::try_from(answer.len()).ok().filter(|length| *length > 0) {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(answer);
    }
}
