//! Reads the few questions that need more than their first octets: signed ones, and those for a transfer.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};

use super::answer::{Terms, UDP_OCTETS_MAX, respond, respond_code, respond_slip};
use super::catalog::Catalog;
use super::owner::Owner;
use super::query::{self, Code, HEADER_OCTETS};
use super::transfer::Wanted;
use super::tsig::SIGNATURE_OCTETS_MAX;

/// Such a question.
#[derive(Debug)]
pub struct Special {
    /// As hickory read it, its signature included.
    pub message: Message,
    /// The name asked for.
    pub name: Owner,
    /// For a transfer.
    pub wanted: Option<Wanted>,
}

impl Special {
    /// Absent for what is neither, or not readable.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let message = Message::from_vec(octets).ok()?;
        let [question] = message.queries.as_slice() else { return None };
        let is_question = message.metadata.message_type == MessageType::Query
            && message.metadata.op_code == OpCode::Query
            && message.answers.is_empty();
        let name = Owner::of_name(question.name());
        let wanted = match (question.query_type(), question.query_class(), message.authorities.as_slice()) {
            (RecordType::AXFR, DNSClass::IN, []) => Some(Wanted::Whole),
            // What the asker has stands in the authority section (RFC 1995 §3).
            (RecordType::IXFR, DNSClass::IN, [has]) if Owner::of_name(&has.name) == name => {
                let RData::SOA(soa) = &has.data else { return None };
                Some(Wanted::Since(soa.serial))
            }
            (RecordType::AXFR | RecordType::IXFR, ..) | (_, _, [_, ..]) => return None,
            (_, _, []) => None,
        };
        let is_special = is_question && (wanted.is_some() || message.signature().is_some());
        is_special.then_some(Self { message, name, wanted })
    }

    /// Whether the asker speaks EDNS.
    #[must_use]
    pub const fn has_edns(&self) -> bool {
        self.message.edns.is_some()
    }

    /// The header of an authoritative answer without records, and the question as it came.
    #[must_use]
    pub fn header(&self, octets: &[u8]) -> Vec<u8> {
        let mut header = Vec::new();
        respond_code(octets, Code::NoError, self.question_octets(), false, &mut header);
        if let Some(flags) = header.get_mut(2) {
            *flags |= 0x04;
        }
        header
    }

    /// An answer that is a code alone.
    #[must_use]
    pub fn coded(&self, octets: &[u8], code: Code) -> Vec<u8> {
        let mut answer = Vec::new();
        respond_code(octets, code, self.question_octets(), self.has_edns(), &mut answer);
        answer
    }

    /// The answer to a signed question that asks for no transfer, to be signed.
    #[must_use]
    pub fn answer_plain(&self, catalog: &Catalog, is_stream: bool) -> Option<Vec<u8>> {
        let mut message = self.message.clone();
        message.take_signature();
        let octets = message.to_vec().ok()?;
        let query = query::read(&octets).ok()?;
        let terms = Terms { is_stream, cookie: None };
        let mut answer = Vec::new();
        respond(catalog, &octets, &query, terms, &mut answer);
        let most = query.edns.map_or(512, |edns| usize::from(edns.octets_max).clamp(512, UDP_OCTETS_MAX));
        if !is_stream && answer.len() + SIGNATURE_OCTETS_MAX.min(self.signature_octets()) > most {
            answer.clear();
            respond_slip(&octets, &query, terms, &mut answer);
        }
        Some(answer)
    }

    /// That of the answer is as long as that of the question: the same key.
    fn signature_octets(&self) -> usize {
        let names =
            self.message.signature().map_or(0, |record| record.name.len() + record.data.algorithm.to_name().len());
        names + 2 + 10 + 16 + 32
    }

    fn question_octets(&self) -> usize {
        // Nothing stands before the name, so it is not compressed.
        (self.name.octets().len() + 4).min(super::owner::OWNER_OCTETS_MAX + HEADER_OCTETS)
    }
}
