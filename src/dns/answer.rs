//! Writes the answer to a question: which records, which code, cut to what the asker takes.

use super::catalog::{Catalog, Place};
use super::names::{Kind, Row};
use super::owner::{OWNER_OCTETS_MAX, labels};
use super::query::{Code, HEADER_OCTETS, Query};
use super::records::{FIXED_OCTETS, RecordSet, v4_record, v6_record};
use super::sign;
use super::zone::{Node, Zone};
use crate::base::WallTime;

/// Octets of an answer over UDP, at most, whatever the asker takes: no fragments on any ordinary path (RFC 9715 §3.2).
pub const UDP_OCTETS_MAX: usize = 1_232;
/// The same for an asker without EDNS (RFC 1035 §2.3.4).
const PLAIN_OCTETS_MAX: usize = 512;
/// The same over a stream (RFC 1035 §4.2.2).
const STREAM_OCTETS_MAX: usize = 65_535;
/// Names that one answer follows from alias to alias, at most.
const ALIASES_MAX: usize = 8;
/// Preference of a dynamic name in its own MX set.
pub const OWN_PREFERENCE: u16 = 10;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const DS: u16 = 43;
/// A transfer of what changed.
pub(super) const IXFR: u16 = 251;
/// A transfer of the whole zone.
pub(super) const AXFR: u16 = 252;
const ANY: u16 = 255;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;

/// What the way that the question came over asks of the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// TCP or TLS: no cutting.
    pub is_stream: bool,
    /// The cookie to send along: the client's and ours.
    pub cookie: Option<[u8; 24]>,
}

/// Sections that we write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

/// Appends the answer to `out`.
pub fn respond(catalog: &Catalog, octets: &[u8], query: &Query, terms: Terms, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(octets, query, out);
    let resolved = resolve(catalog, query, &mut writer);
    writer.finish(query, terms, resolved);
}

/// Appends the answer to `out`, signed where the asker wants it and the zone is (RFC 4035 §3.1).
pub fn respond_at(catalog: &Catalog, octets: &[u8], query: &Query, terms: Terms, now: WallTime, out: &mut Vec<u8>) {
    if !sign::answer::is_wanted(catalog, query) {
        return respond(catalog, octets, query, terms, out);
    }
    match sign::answer::signed(catalog, octets, query, now) {
        Ok(Some(signed)) => finish_signed(&signed, query, terms, out),
        Ok(None) => respond(catalog, octets, query, terms, out),
        Err(error) => {
            tracing::error!(%error, "an answer could not be signed");
            let question = query.question_end.saturating_sub(HEADER_OCTETS);
            respond_code(octets, Code::ServFail, question, true, out);
        }
    }
}

/// Appends a signed answer with OPT, cut to what the asker takes.
fn finish_signed(signed: &[u8], query: &Query, terms: Terms, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(signed);
    let opt_octets = 11 + terms.cookie.map_or(0, |cookie| 4 + cookie.len());
    if signed.len() + opt_octets > octets_max(query, terms) {
        out.truncate(start + query.question_end);
        if let Some([_, _, flags, _, _, _, counts @ ..]) = out.get_mut(start..start + HEADER_OCTETS) {
            *flags |= 0x02;
            counts.fill(0);
        }
    }
    push_opt(out, 0, true, terms.cookie.as_ref());
    if let Some(count) = out.get_mut(start + HEADER_OCTETS - 1) {
        // A referral with more glue than this does not exist.
        *count = count.saturating_add(1);
    }
}

/// Octets of an answer, at most.
fn octets_max(query: &Query, terms: Terms) -> usize {
    match (terms.is_stream, query.edns) {
        (true, _) => STREAM_OCTETS_MAX,
        (false, Some(edns)) => usize::from(edns.octets_max).clamp(PLAIN_OCTETS_MAX, UDP_OCTETS_MAX),
        (false, None) => PLAIN_OCTETS_MAX,
    }
}

/// Appends an answer that says nothing but "ask over TCP": the least that a true asker can go on with.
pub fn respond_slip(octets: &[u8], query: &Query, terms: Terms, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(octets, query, out);
    writer.is_cut = true;
    writer.finish(query, terms, Resolved { code: Code::NoError, is_authoritative: false });
}

/// Appends an answer that is a code alone, to a message that could not be read as a question.
pub fn respond_code(octets: &[u8], code: Code, question_octets: usize, has_edns: bool, out: &mut Vec<u8>) {
    let Some(header) = octets.first_chunk::<HEADER_OCTETS>() else { return };
    let [id_high, id_low, flags, ..] = *header;
    let number = code as u16;
    let low = u8::try_from(number & 0xf).unwrap_or(0);
    let questions = u8::from(question_octets > 0);
    // The opcode and the wish for recursion are repeated (RFC 6895 §2).
    out.extend_from_slice(&[
        id_high,
        id_low,
        0x80 | (flags & 0x79),
        low,
        0,
        questions,
        0,
        0,
        0,
        0,
        0,
        u8::from(has_edns),
    ]);
    out.extend_from_slice(octets.get(HEADER_OCTETS..HEADER_OCTETS + question_octets).unwrap_or_default());
    if has_edns {
        push_opt(out, number, false, None);
    }
}

#[derive(Clone, Copy)]
struct Resolved {
    code: Code,
    is_authoritative: bool,
}

const REFUSED: Resolved = Resolved { code: Code::Refused, is_authoritative: false };
const FOUND: Resolved = Resolved { code: Code::NoError, is_authoritative: true };

fn resolve(catalog: &Catalog, query: &Query, writer: &mut Writer<'_>) -> Resolved {
    if query.class != CLASS_IN && query.class != CLASS_ANY || matches!(query.record_type, AXFR | IXFR) {
        return REFUSED;
    }
    let mut alias = [0; OWNER_OCTETS_MAX];
    let mut name = query.name();
    let mut at = HEADER_OCTETS;
    for followed in 0..=ALIASES_MAX {
        let asked = Asked { name, at, record_type: query.record_type };
        let next = match catalog.look_up(name) {
            // An alias that leads out of our zones is for the asker to follow.
            Place::Elsewhere if followed == 0 => return REFUSED,
            Place::Elsewhere => return FOUND,
            Place::Node(..) | Place::Dynamic(..)
                if query.record_type == DS && followed == 0 && catalog.zone_over(name).is_some() =>
            {
                // Both sides of the cut are ours; the upper one speaks for DS (RFC 4035 §3.1.4.1).
                if let Some(zone) = catalog.zone_over(name) {
                    let set = zone.node(name).and_then(|node| node.set(DS));
                    writer.set_or_nothing(zone, &asked, set);
                }
                return FOUND;
            }
            Place::Dynamic(zone, row, node) => {
                dynamic(catalog, zone, row, node, &asked, writer);
                return FOUND;
            }
            Place::Challenge(zone, set) => {
                match query.record_type {
                    TXT => writer.set_or_nothing(zone, &asked, Some(set)),
                    ANY => writer.set(Section::Answer, asked.at, &catalog.shared().any),
                    _ => writer.negative(zone, &asked),
                }
                return FOUND;
            }
            Place::Node(zone, node) => match of_node(catalog, zone, node, &asked, writer) {
                Some(target_at) => target_at,
                None => return FOUND,
            },
            Place::Cut(owner, node) if query.record_type == DS && owner.octets() == name => {
                // The parent speaks for DS (RFC 4035 §3.1.4.1).
                let (Place::Node(zone, _) | Place::Dynamic(zone, ..)) = parent_of(catalog, name) else { return FOUND };
                writer.set_or_nothing(zone, &asked, node.set(DS));
                return FOUND;
            }
            Place::Cut(owner, node) => {
                refer(catalog, owner.octets(), node, &asked, writer);
                return Resolved { code: Code::NoError, is_authoritative: followed > 0 };
            }
            Place::Between(zone) => {
                writer.negative(zone, &asked);
                return FOUND;
            }
            Place::Nothing(zone) => {
                writer.negative(zone, &asked);
                return Resolved { code: Code::NxDomain, is_authoritative: true };
            }
        };
        let Some(length) = writer.copy_name(next, &mut alias) else { return FOUND };
        name = alias.get(..length).unwrap_or_default();
        at = next;
    }
    FOUND
}

/// What is looked for now: the name asked for, or one that an alias led to.
struct Asked<'a> {
    name: &'a [u8],
    /// Where the name stands in the message.
    at: usize,
    record_type: u16,
}

/// The zone above a cut, as the place of its apex.
fn parent_of<'a>(catalog: &'a Catalog, name: &[u8]) -> Place<'a> {
    super::owner::suffixes(name)
        .skip(1)
        .map(|above| catalog.look_up(above))
        .find(|place| matches!(place, Place::Node(..) | Place::Dynamic(..)))
        .unwrap_or(Place::Elsewhere)
}

fn dynamic(catalog: &Catalog, zone: &Zone, row: &Row, node: Option<&Node>, asked: &Asked<'_>, writer: &mut Writer<'_>) {
    let shared = catalog.shared();
    let front = row.front();
    let stored = || node.and_then(|node| node.set(asked.record_type));
    // Further names are not for mail: while their server is away they have no address.
    let is_server = matches!(row.kind, Kind::Server(_));
    let is_parked = front.is_parked() && is_server;
    match asked.record_type {
        A if is_parked => writer.set_or_nothing(zone, asked, Some(&shared.parked_v4)),
        A => match front.v4 {
            Some(v4) => writer.record(Section::Answer, asked.at, &v4_record(shared.ttl, v4)),
            None => writer.negative(zone, asked),
        },
        AAAA if is_parked => writer.set_or_nothing(zone, asked, Some(&shared.parked_v6)),
        AAAA => match front.v6 {
            Some(v6) => writer.record(Section::Answer, asked.at, &v6_record(shared.ttl, v6)),
            None => writer.negative(zone, asked),
        },
        MX if is_server && stored().is_none() => {
            writer.own_mx(asked.at, shared.ttl);
            if row.has_backup {
                writer.set(Section::Answer, asked.at, &shared.backup_mx);
            }
        }
        ANY => writer.set(Section::Answer, asked.at, &shared.any),
        // A zone whose own name follows a mail server.
        SOA if asked.name == zone.apex().octets() => writer.set(Section::Answer, asked.at, zone.soa()),
        _ => writer.set_or_nothing(zone, asked, stored()),
    }
}

/// Where the name stands that an alias leads to, if there is one to follow.
fn of_node(catalog: &Catalog, zone: &Zone, node: &Node, asked: &Asked<'_>, writer: &mut Writer<'_>) -> Option<usize> {
    let is_apex = asked.name == zone.apex().octets();
    match asked.record_type {
        SOA if is_apex => writer.set(Section::Answer, asked.at, zone.soa()),
        ANY => writer.set(Section::Answer, asked.at, &catalog.shared().any),
        wanted => match (node.set(wanted), node.set(CNAME)) {
            (Some(set), _) => writer.set(Section::Answer, asked.at, set),
            (None, Some(alias)) => {
                // The data of the alias is a name, and stands behind owner and fixed part.
                let target_at = writer.length() + 2 + FIXED_OCTETS;
                writer.set(Section::Answer, asked.at, alias);
                return Some(target_at);
            }
            (None, None) => writer.negative(zone, asked),
        },
    }
    None
}

/// A referral: the name servers of the cut, and their addresses where these lie below it.
fn refer(catalog: &Catalog, cut: &[u8], node: &Node, asked: &Asked<'_>, writer: &mut Writer<'_>) {
    let owner_at = asked.at + asked.name.len() - cut.len();
    let Some(servers) = node.set(NS) else { return };
    let mut targets = Vec::new();
    for record in servers.records() {
        targets.push(writer.length() + 2 + FIXED_OCTETS);
        writer.record(Section::Authority, owner_at, record);
    }
    for target_at in targets {
        let mut octets = [0; OWNER_OCTETS_MAX];
        let Some(length) = writer.copy_name(target_at, &mut octets) else { continue };
        let target = octets.get(..length).unwrap_or_default();
        for record_type in [A, AAAA] {
            if let Some(set) = catalog.glue(cut, target, record_type) {
                writer.set(Section::Additional, target_at, set);
            }
        }
    }
}

/// Appends one answer to a buffer that may hold others before it.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    question_end: usize,
    counts: [u16; 3],
    is_cut: bool,
}

impl<'a> Writer<'a> {
    fn begin(octets: &[u8], query: &Query, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(octets.get(..query.question_end).unwrap_or_default());
        Self { out, start, question_end: query.question_end, counts: [0; 3], is_cut: false }
    }

    fn length(&self) -> usize {
        self.out.len() - self.start
    }

    /// One record whose owner stands at `owner_at` of this message.
    fn record(&mut self, section: Section, owner_at: usize, record: &[u8]) {
        // A pointer has 14 bits (RFC 1035 §4.1.4). A name beyond them is not pointed at, and the answer is cut.
        let Some(pointer) = u16::try_from(owner_at).ok().filter(|at| *at < 0x4000) else {
            self.is_cut = true;
            return;
        };
        self.out.extend_from_slice(&(0xc000 | pointer).to_be_bytes());
        self.out.extend_from_slice(record);
        let [answers, authorities, additionals] = &mut self.counts;
        match section {
            Section::Answer => *answers += 1,
            Section::Authority => *authorities += 1,
            Section::Additional => *additionals += 1,
        }
    }

    fn set(&mut self, section: Section, owner_at: usize, set: &RecordSet) {
        for record in set.records() {
            self.record(section, owner_at, record);
        }
    }

    fn set_or_nothing(&mut self, zone: &Zone, asked: &Asked<'_>, set: Option<&RecordSet>) {
        match set.filter(|set| !set.is_empty()) {
            Some(set) => self.set(Section::Answer, asked.at, set),
            None => self.negative(zone, asked),
        }
    }

    /// The MX record of a name that receives mail itself: its target is its own name once more.
    fn own_mx(&mut self, owner_at: usize, ttl: u32) {
        let pointer = u16::try_from(owner_at).map_or(0xc00c, |at| 0xc000 | at).to_be_bytes();
        let (t, preference) = (ttl.to_be_bytes(), OWN_PREFERENCE.to_be_bytes());
        let fixed = [0, 15, 0, 1, t[0], t[1], t[2], t[3], 0, 4];
        let mut record = [0; FIXED_OCTETS + 4];
        let parts = fixed.into_iter().chain(preference).chain(pointer);
        record.iter_mut().zip(parts).for_each(|(to, octet)| *to = octet);
        self.record(Section::Answer, owner_at, &record);
    }

    /// The zone's SOA record, which says for how long there is nothing (RFC 2308 §2).
    fn negative(&mut self, zone: &Zone, asked: &Asked<'_>) {
        let apex_at = asked.at + asked.name.len() - zone.apex().octets().len();
        self.set(Section::Authority, apex_at, zone.negative_soa());
    }

    /// Copies the uncompressed name at `at` of this message in lower case; its length.
    fn copy_name(&self, at: usize, to: &mut [u8; OWNER_OCTETS_MAX]) -> Option<usize> {
        let message = self.out.get(self.start..)?;
        let name = message.get(at..)?;
        let length = labels(name).map(|label| label.len() + 1).sum::<usize>() + 1;
        let place = to.get_mut(..length)?;
        for (to, octet) in place.iter_mut().zip(name.get(..length)?) {
            *to = octet.to_ascii_lowercase();
        }
        Some(length)
    }

    fn finish(mut self, query: &Query, terms: Terms, resolved: Resolved) {
        let opt_octets = query.edns.map_or(0, |_| 11 + terms.cookie.map_or(0, |cookie| 4 + cookie.len()));
        let octets_max = octets_max(query, terms);
        if self.is_cut || self.length() + opt_octets > octets_max {
            self.is_cut = true;
            self.out.truncate(self.start + self.question_end);
            self.counts = [0; 3];
        }
        let number = resolved.code as u16;
        if let Some(edns) = query.edns {
            let [_, _, additionals] = &mut self.counts;
            *additionals += 1;
            push_opt(self.out, number, edns.is_dnssec_ok, terms.cookie.as_ref());
        }
        let flags = 0x80
            | if resolved.is_authoritative { 0x04 } else { 0 }
            | if self.is_cut { 0x02 } else { 0 }
            | u8::from(query.is_recursion_desired);
        let [answers, authorities, additionals] = self.counts.map(u16::to_be_bytes);
        let [id_high, id_low] = query.id;
        let header = [
            [id_high, id_low],
            [flags, u8::try_from(number & 0xf).unwrap_or(0)],
            [0, 1],
            answers,
            authorities,
            additionals,
        ];
        if let Some(place) = self.out.get_mut(self.start..self.start + HEADER_OCTETS) {
            place.copy_from_slice(header.as_flattened());
        }
    }
}

/// Appends OPT without options to an answer that has no additional records, and counts it.
pub(super) fn push_plain_opt(answer: &mut Vec<u8>) {
    push_opt(answer, 0, false, None);
    if let Some(count) = answer.get_mut(HEADER_OCTETS - 1) {
        *count += 1;
    }
}

/// Our EDNS record (RFC 6891 §6.1.2): the size we take, the upper bits of the code, and the cookie.
fn push_opt(out: &mut Vec<u8>, code: u16, is_dnssec_ok: bool, cookie: Option<&[u8; 24]>) {
    let size = u16::try_from(UDP_OCTETS_MAX).unwrap_or(u16::MAX).to_be_bytes();
    let flags = if is_dnssec_ok { 0x80 } else { 0 };
    let length: u8 = if cookie.is_some() { 28 } else { 0 };
    let upper = u8::try_from(code >> 4).unwrap_or(0);
    out.extend_from_slice(&[0, 0, 41, size[0], size[1], upper, 0, flags, 0, 0, length]);
    if let Some(cookie) = cookie {
        out.extend_from_slice(&[0, 10, 0, 24]);
        out.extend_from_slice(cookie);
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
