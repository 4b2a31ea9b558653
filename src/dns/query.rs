//! Reads a question from its octets: the one form in which nearly all come; what else there is gets a code.

use super::owner::OWNER_OCTETS_MAX;

/// Octets of the header (RFC 1035 §4.1.1).
pub const HEADER_OCTETS: usize = 12;
/// OPT's number (RFC 6891 §6.1.1).
const OPT: u16 = 41;
/// The option that carries a cookie (RFC 7873 §4).
const COOKIE: u16 = 10;
/// Longest server cookie and the client's 8 octets (RFC 7873 §4).
pub const COOKIE_OCTETS_MAX: usize = 40;

/// Response codes that this room gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Code {
    /// There is such a name.
    NoError = 0,
    /// The question cannot be read.
    FormErr = 1,
    /// We failed.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// We do not do that.
    NotImp = 4,
    /// Not our zone, or not for you.
    Refused = 5,
    /// A name exists that must not (RFC 2136 §2.2).
    YxDomain = 6,
    /// Records exist that must not (RFC 2136 §2.2).
    YxRrSet = 7,
    /// Records do not exist that must (RFC 2136 §2.2).
    NxRrSet = 8,
    /// A signature that is not believed (RFC 8945 §5.2), or an update of a zone that is not ours (RFC 2136 §2.2).
    NotAuth = 9,
    /// A name of an update lies in another zone (RFC 2136 §2.2).
    NotZone = 10,
    /// An EDNS version that nobody speaks (RFC 6891 §9).
    BadVers = 16,
}

/// What a question says of EDNS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Edns {
    /// Octets that the asker takes over UDP.
    pub octets_max: u16,
    /// Wants signatures (RFC 3225).
    pub is_dnssec_ok: bool,
    /// Its cookie as sent: 8 octets of the client's, then perhaps one of ours.
    pub cookie: Option<Cookie>,
}

/// A cookie as sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    octets: [u8; COOKIE_OCTETS_MAX],
    length: u8,
}

impl Cookie {
    fn read(data: &[u8]) -> Option<Self> {
        if data.len() != 8 && !(16..=COOKIE_OCTETS_MAX).contains(&data.len()) {
            return None;
        }
        let mut octets = [0; COOKIE_OCTETS_MAX];
        octets.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self { octets, length: u8::try_from(data.len()).ok()? })
    }

    /// The client's part.
    #[must_use]
    pub fn client(&self) -> [u8; 8] {
        self.octets.first_chunk().copied().unwrap_or_default()
    }

    /// Ours, if it came along.
    #[must_use]
    pub fn server(&self) -> &[u8] {
        self.octets.get(8..usize::from(self.length)).unwrap_or_default()
    }
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query {
    /// Repeated in the answer.
    pub id: [u8; 2],
    /// The asker wants recursion; repeated in the answer, not done.
    pub is_recursion_desired: bool,
    name: [u8; OWNER_OCTETS_MAX],
    name_octets: usize,
    /// What is asked for.
    pub record_type: u16,
    /// 1 for the Internet.
    pub class: u16,
    /// Where the question ends in the message; it is repeated as it came, so that the letters' case is.
    pub question_end: usize,
    /// If the asker speaks EDNS.
    pub edns: Option<Edns>,
}

impl Query {
    /// The same of an asker that does not speak EDNS.
    #[must_use]
    pub fn without_edns(&self) -> Self {
        Self { edns: None, ..self.clone() }
    }

    /// The name asked for, in lower case and wire form.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.get(..self.name_octets).unwrap_or_default()
    }
}

/// Why a message is no question that we answer with records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Not a question at all: silence, so that two servers never answer each other's answers.
    Silent,
    /// This code, with as much of the question as could be read.
    Coded {
        /// The code.
        code: Code,
        /// Octets of the question behind the header that may be repeated; 0 for none.
        question_octets: usize,
        /// The asker speaks EDNS.
        has_edns: bool,
    },
}

const fn coded(code: Code) -> Unreadable {
    Unreadable::Coded { code, question_octets: 0, has_edns: false }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk::<2>().map(|two| u16::from_be_bytes(*two))
}

/// Reads a message that asks one question.
///
/// # Errors
/// [`Unreadable`] says how to answer everything else.
pub fn read(octets: &[u8]) -> Result<Query, Unreadable> {
    let Some(header) = octets.first_chunk::<HEADER_OCTETS>() else { return Err(Unreadable::Silent) };
    let [id_high, id_low, flags, _, questions @ .., _, _, _, _, _, _] = *header;
    let (answers, authorities) = (u16_at(octets, 6), u16_at(octets, 8));
    let additionals = u16_at(octets, 10).unwrap_or(0);
    if flags & 0x80 != 0 {
        return Err(Unreadable::Silent);
    }
    if flags & 0x78 != 0 {
        return Err(coded(Code::NotImp));
    }
    if questions != [0, 1] || answers != Some(0) || authorities != Some(0) || additionals > 2 {
        return Err(coded(Code::FormErr));
    }
    let mut query = Query {
        id: [id_high, id_low],
        is_recursion_desired: flags & 1 != 0,
        name: [0; OWNER_OCTETS_MAX],
        name_octets: 0,
        record_type: 0,
        class: 0,
        question_end: 0,
        edns: None,
    };
    read_question(octets, &mut query).ok_or_else(|| coded(Code::FormErr))?;
    read_edns(octets, additionals, &mut query)?;
    Ok(query)
}

/// Copies the name in lower case. A name in a question is never compressed: nothing stands before it.
fn read_question(octets: &[u8], query: &mut Query) -> Option<()> {
    let mut at = HEADER_OCTETS;
    loop {
        let length = usize::from(*octets.get(at)?);
        if length > 63 {
            return None;
        }
        let from = at - HEADER_OCTETS;
        let label = octets.get(at..=at + length)?;
        let place = query.name.get_mut(from..=from + length)?;
        // Length octets are below any letter, so they may go through as well.
        for (to, octet) in place.iter_mut().zip(label) {
            *to = octet.to_ascii_lowercase();
        }
        at += length + 1;
        if length == 0 {
            break;
        }
    }
    query.name_octets = at - HEADER_OCTETS;
    query.record_type = u16_at(octets, at)?;
    query.class = u16_at(octets, at + 2)?;
    query.question_end = at + 4;
    Some(())
}

/// Reads the additional records: OPT, and nothing that would change the answer.
fn read_edns(octets: &[u8], additionals: u16, query: &mut Query) -> Result<(), Unreadable> {
    let question_octets = query.question_end - HEADER_OCTETS;
    let fault = |code, has_edns| Unreadable::Coded { code, question_octets, has_edns };
    let mut at = query.question_end;
    for _ in 0..additionals {
        let Some([0, type_high, type_low, size_high, size_low, _, version, flags, _, length_high, length_low]) =
            octets.get(at..).and_then(|rest| rest.first_chunk::<11>()).copied()
        else {
            return Err(fault(Code::FormErr, false));
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        // Signed questions are read elsewhere (`special`); a second OPT is against RFC 6891 §6.1.1.
        if u16::from_be_bytes([type_high, type_low]) != OPT || query.edns.is_some() {
            return Err(fault(Code::FormErr, false));
        }
        let Some(options) = octets.get(at + 11..at + 11 + length) else { return Err(fault(Code::FormErr, true)) };
        if version != 0 {
            return Err(fault(Code::BadVers, true));
        }
        let cookie = read_options(options).ok_or_else(|| fault(Code::FormErr, true))?;
        let octets_max = u16::from_be_bytes([size_high, size_low]);
        query.edns = Some(Edns { octets_max, is_dnssec_ok: flags & 0x80 != 0, cookie });
        at += 11 + length;
    }
    // Octets behind the message are against RFC 1035, and nobody's who means well.
    if at == octets.len() { Ok(()) } else { Err(fault(Code::FormErr, query.edns.is_some())) }
}

/// The cookie among the options; absent if an option is longer than the rest, or the cookie of no length that is one.
fn read_options(mut options: &[u8]) -> Option<Option<Cookie>> {
    let mut cookie = None;
    while !options.is_empty() {
        let (code, length) = (u16_at(options, 0)?, usize::from(u16_at(options, 2)?));
        let data = options.get(4..4 + length)?;
        if code == COOKIE && cookie.is_none() {
            cookie = Some(Cookie::read(data)?);
        }
        options = options.get(4 + length..)?;
    }
    Some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Edns as HickoryEdns, Message, MessageType, OpCode, Query as HickoryQuery};
    use hickory_proto::rr::{Name, RecordType};
    use proptest::prelude::*;

    fn message(name: &str, record_type: RecordType, edns: bool) -> Message {
        let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(HickoryQuery::query(Name::from_ascii(name).unwrap(), record_type));
        if edns {
            let mut edns = HickoryEdns::new();
            edns.set_max_payload(1_400).set_dnssec_ok(true);
            message.set_edns(edns);
        }
        message
    }

    #[test]
    fn a_question_by_hickory_is_read() {
        let octets = message("Firma.Dyn.Example.", RecordType::AAAA, true).to_vec().unwrap();
        let query = read(&octets).unwrap();
        assert_eq!(query.id, [0x12, 0x34]);
        assert_eq!(query.name(), b"\x05firma\x03dyn\x07example\x00");
        assert_eq!((query.record_type, query.class), (28, 1));
        assert!(query.is_recursion_desired);
        let edns = query.edns.unwrap();
        assert_eq!((edns.octets_max, edns.is_dnssec_ok, edns.cookie), (1_400, true, None));
        let bare = message("a.example.", RecordType::A, false).to_vec().unwrap();
        assert_eq!(read(&bare).unwrap().edns, None);
        assert_eq!(read(&bare).unwrap().question_end, bare.len());
    }

    #[test]
    fn what_is_no_question_is_told_apart() {
        let good = message("a.example.", RecordType::A, false).to_vec().unwrap();
        let with = |at: usize, octet: u8| {
            let mut octets = good.clone();
            octets[at] = octet;
            read(&octets).unwrap_err()
        };
        assert_eq!(read(&good[..11]).unwrap_err(), Unreadable::Silent);
        assert_eq!(with(2, 0x80), Unreadable::Silent, "an answer");
        assert_eq!(with(2, 0x28), coded(Code::NotImp), "an update");
        assert_eq!(with(5, 2), coded(Code::FormErr), "two questions");
        assert_eq!(with(7, 1), coded(Code::FormErr), "an answer in a question");
        assert_eq!(with(12, 0xc0), coded(Code::FormErr), "a pointer");
        let mut long = good.clone();
        long.push(0);
        assert!(matches!(read(&long), Err(Unreadable::Coded { code: Code::FormErr, .. })), "octets behind the end");
        assert!(matches!(read(&good[..good.len() - 1]), Err(Unreadable::Coded { code: Code::FormErr, .. })));
    }

    #[test]
    fn a_name_of_256_octets_is_refused_and_one_of_255_is_read() {
        let name = |last: usize| {
            let mut octets = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for length in [63, 63, 63, last] {
                octets.push(u8::try_from(length).unwrap());
                octets.extend(std::iter::repeat_n(b'a', length));
            }
            octets.extend([0, 0, 1, 0, 1]);
            octets
        };
        assert_eq!(read(&name(61)).unwrap().name().len(), 255);
        assert_eq!(read(&name(62)).unwrap_err(), coded(Code::FormErr));
    }

    #[test]
    fn a_cookie_has_one_of_the_lengths_of_cookies() {
        let with = |length: usize| {
            let mut octets = message("a.example.", RecordType::A, false).to_vec().unwrap();
            octets[11] = 1;
            octets.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
            octets.extend(u16::try_from(length + 4).unwrap().to_be_bytes());
            octets.extend([0, 10]);
            octets.extend(u16::try_from(length).unwrap().to_be_bytes());
            octets.extend(std::iter::repeat_n(7, length));
            read(&octets)
        };
        for length in [8, 16, 24, 40] {
            let cookie = with(length).unwrap().edns.unwrap().cookie.unwrap();
            assert_eq!((cookie.client(), cookie.server().len()), ([7; 8], length - 8));
        }
        for length in [0, 7, 9, 15, 41] {
            assert!(matches!(with(length), Err(Unreadable::Coded { code: Code::FormErr, .. })), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&octets);
        }

        /// Where both read a message, both read the same name.
        #[test]
        fn hickory_reads_the_same(labels in proptest::collection::vec("[a-zA-Z0-9]{1,12}", 1..8), kind in 1u16..260) {
            let name = format!("{}.", labels.join("."));
            let octets = message(&name, RecordType::from(kind), kind % 2 == 0).to_vec().unwrap();
            let query = read(&octets).unwrap();
            let theirs = Message::from_vec(&octets).unwrap();
            let theirs = theirs.queries.first().unwrap();
            let owner = crate::dns::owner::Owner::of_name(theirs.name());
            prop_assert_eq!(owner.octets(), query.name());
            prop_assert_eq!(u16::from(theirs.query_type()), query.record_type);
        }
    }
}
