//! Zone files (RFC 1035 §5): read by hickory, written here so that BIND and we read the same again.

use std::fmt::Write;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, RData, RecordType};
use hickory_proto::serialize::txt::Parser;

use super::owner::Owner;
use super::records::{RecordError, data_octets};
use super::store::RECORDS_PER_ZONE_MAX;
use super::zone::ZoneRecord;

/// Longest zone file that is read, octets: ten times what a large firm has.
pub const ZONE_FILE_OCTETS_MAX: usize = 2 * 1024 * 1024;
/// Octets of data on one line of a generic record.
const HEX: data_encoding::Encoding = data_encoding::HEXUPPER;

/// A zone file cannot be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ZoneFileError {
    /// Too much.
    #[error("a zone file has at most {ZONE_FILE_OCTETS_MAX} octets and {RECORDS_PER_ZONE_MAX} records")]
    TooLong,
    /// It would read other files.
    #[error("$INCLUDE is not taken: put the other file into this one")]
    Include,
    /// hickory's words.
    #[error("the zone file cannot be read: {0}")]
    Syntax(String),
    /// Octets that hickory would read as others.
    #[error("the escape {0} stands for no visible text; such octets are not taken")]
    Escape(String),
    /// Not in this zone.
    #[error("'{0}' does not lie in the zone; is $ORIGIN right?")]
    Outside(String),
    /// Chaos or Hesiod.
    #[error("'{0}' has another class than IN")]
    Class(String),
    /// A type that is made by whoever serves the zone, or that we cannot serve.
    #[error("'{0}': {1} records are not taken")]
    Type(String, String),
    /// A record has no wire form.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The records of a zone file, by owner and type; `text` is relative to `apex`.
///
/// # Errors
/// [`ZoneFileError`] says what has to be changed.
pub fn read(text: &str, apex: &Owner) -> Result<Vec<ZoneRecord>, ZoneFileError> {
    if text.len() > ZONE_FILE_OCTETS_MAX {
        return Err(ZoneFileError::TooLong);
    }
    let word = |line: &str| line.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
    if text.lines().any(|line| word(line) == "$INCLUDE") {
        return Err(ZoneFileError::Include);
    }
    // The parser wants a line end after the last record.
    let whole = format!("{}\n", without_numbers(text)?);
    let (_, sets) = Parser::new(whole, None, Some(apex.to_name()))
        .parse()
        .map_err(|error| ZoneFileError::Syntax(error.to_string()))?;
    let mut records = Vec::new();
    for set in sets.values() {
        for record in set.records_without_rrsigs() {
            let owner = Owner::of_name(&record.name);
            let (name, record_type) = (record.name.to_ascii(), record.record_type());
            if !owner.is_within(apex) {
                return Err(ZoneFileError::Outside(name));
            }
            if record.dns_class != DNSClass::IN {
                return Err(ZoneFileError::Class(name));
            }
            if !is_taken(record_type) {
                return Err(ZoneFileError::Type(name, record_type.to_string()));
            }
            data_octets(&record.data)?;
            records.push(ZoneRecord { owner, ttl: record.ttl, data: record.data.clone() });
        }
    }
    if records.len() > RECORDS_PER_ZONE_MAX {
        return Err(ZoneFileError::TooLong);
    }
    sort(&mut records);
    Ok(records)
}

/// Writes `\DDD` as what it stands for (RFC 1035 §5.1): hickory reads the digits as something else.
fn without_numbers(text: &str) -> Result<String, ZoneFileError> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let (octets, behind) = numbers(escape);
        if octets.is_empty() {
            // An escaped character, which may be a backslash itself.
            let length = escape.chars().take(2).map(char::len_utf8).sum();
            let (kept, behind) = escape.split_at_checked(length).unwrap_or((escape, ""));
            plain.push_str(kept);
            rest = behind;
            continue;
        }
        let fault = || ZoneFileError::Escape(escape.chars().take(4).collect());
        let decoded = String::from_utf8(octets).map_err(|_| fault())?;
        for letter in decoded.chars() {
            if letter.is_control() {
                return Err(fault());
            }
            if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != ' ' {
                plain.push('\\');
            }
            plain.push(letter);
        }
        rest = behind;
    }
    plain.push_str(rest);
    Ok(plain)
}

/// The octets of the `\DDD` that `text` begins with, as many as there are, and what comes behind them.
fn numbers(text: &str) -> (Vec<u8>, &str) {
    let (mut octets, mut rest) = (Vec::new(), text);
    while let Some(digits) = rest.strip_prefix('\\').and_then(|rest| rest.get(..3))
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && let Ok(octet) = digits.parse::<u8>()
    {
        octets.push(octet);
        rest = rest.get(4..).unwrap_or("");
    }
    (octets, rest)
}

/// Types that customers keep. Signatures and their keys belong to whoever signs.
const fn is_taken(record_type: RecordType) -> bool {
    matches!(
        record_type,
        RecordType::A
            | RecordType::AAAA
            | RecordType::CAA
            | RecordType::CERT
            | RecordType::CNAME
            | RecordType::HINFO
            | RecordType::HTTPS
            | RecordType::MX
            | RecordType::NAPTR
            | RecordType::NS
            | RecordType::OPENPGPKEY
            | RecordType::PTR
            | RecordType::SMIMEA
            | RecordType::SOA
            | RecordType::SRV
            | RecordType::SSHFP
            | RecordType::SVCB
            | RecordType::TLSA
            | RecordType::TXT
    )
}

/// Puts records in the order in which they are kept and written: SOA first, then by owner and type.
pub fn sort(records: &mut [ZoneRecord]) {
    let rank = |record: &ZoneRecord| {
        let number = u16::from(record.data.record_type());
        let labels: Vec<Vec<u8>> = {
            let mut labels: Vec<Vec<u8>> = super::owner::labels(record.owner.octets()).map(<[u8]>::to_vec).collect();
            labels.reverse();
            labels
        };
        (number != u16::from(RecordType::SOA), labels, number)
    };
    records.sort_by_cached_key(rank);
}

/// A zone file of these records. `dynamic` are the addresses of names that follow a mail server, as they are now.
#[must_use]
pub fn write(apex: &Owner, records: &[ZoneRecord], dynamic: &[ZoneRecord]) -> String {
    let mut text = format!("$ORIGIN {apex}\n");
    for record in records {
        text.push_str(&line(record));
        text.push('\n');
    }
    if !dynamic.is_empty() {
        text.push_str("; Names that follow a mail server, as they were when this was written.\n");
        for record in dynamic {
            text.push_str(&line(record));
            text.push('\n');
        }
    }
    text
}

/// One record as a line of a zone file, without its end.
#[must_use]
pub fn line(record: &ZoneRecord) -> String {
    format!("{} {} IN {} {}", record.owner, record.ttl, record.data.record_type(), data(&record.data))
}

/// The data of a record as it stands in a zone file.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "every other type has the generic form")]
pub fn data(data: &RData) -> String {
    // Everything that is stored was encoded before.
    let octets = data_octets(data).unwrap_or_default();
    match data {
        RData::A(a) => a.to_string(),
        RData::AAAA(aaaa) => aaaa.to_string(),
        RData::NS(name) => name.0.to_ascii(),
        RData::CNAME(name) => name.0.to_ascii(),
        RData::PTR(name) => name.0.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.to_ascii()),
        RData::SOA(soa) => soa_text(soa),
        RData::TXT(txt) => txt.txt_data.iter().map(|part| quoted(part)).collect::<Vec<String>>().join(" "),
        RData::CAA(caa) => format!("{} {} {}", caa.flags(), caa.tag, quoted(&caa.value)),
        RData::HINFO(hinfo) => format!("{} {}", quoted(&hinfo.cpu), quoted(&hinfo.os)),
        RData::TLSA(_) | RData::SMIMEA(_) => numbers_and_hex(&octets, 3),
        RData::SSHFP(_) => numbers_and_hex(&octets, 2),
        // The form that every reader takes for every type (RFC 3597 §5).
        _ => format!("\\# {} {}", octets.len(), HEX.encode(&octets)),
    }
}

fn soa_text(soa: &SOA) -> String {
    format!(
        "{} {} {} {} {} {} {}",
        soa.mname.to_ascii(),
        soa.rname.to_ascii(),
        soa.serial,
        soa.refresh,
        soa.retry,
        soa.expire,
        soa.minimum
    )
}

fn numbers_and_hex(octets: &[u8], numbers: usize) -> String {
    let (head, rest) = octets.split_at_checked(numbers).unwrap_or((octets, &[]));
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    format!("{} {}", head.join(" "), HEX.encode(rest))
}

/// A character string in quotes, what is no visible ASCII as `\DDD` (RFC 1035 §5.1).
fn quoted(octets: &[u8]) -> String {
    let mut text = String::from("\"");
    for octet in octets {
        match octet {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*octet));
            }
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\{octet:03}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;
    use proptest::prelude::*;

    fn apex() -> Owner {
        Owner::of_domain(&DomainName::parse("firma.example").unwrap())
    }

    const FILE: &str = r#"
$TTL 3600
@       IN SOA  ns1.provider.example. root.firma.example. ( 2026010101 7200 3600 1209600 300 )
        IN NS   ns1.provider.example.
        IN MX   10 mail
        IN MX   20 mx2.example.net.
        IN TXT  "v=spf1 mx -all"
        IN CAA  0 issue "letsencrypt.org"
www     60 IN CNAME mail.firma.example.
mail    IN A    203.0.113.7
        IN AAAA 2001:db8::7
*.apps  IN A    203.0.113.8
_sip._tcp IN SRV 1 2 5060 mail
_25._tcp.mail IN TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
"#;

    #[test]
    fn a_file_is_read_and_what_is_written_is_read_the_same() {
        let records = read(FILE, &apex()).unwrap();
        assert_eq!(records.len(), 12);
        assert_eq!(records[0].data.record_type(), RecordType::SOA);
        let text = write(&apex(), &records, &[]);
        assert!(text.contains("www.firma.example. 60 IN CNAME mail.firma.example.\n"), "{text}");
        assert!(text.contains("firma.example. 3600 IN TXT \"v=spf1 mx -all\"\n"), "{text}");
        assert_eq!(read(&text, &apex()).unwrap(), records);
    }

    #[test]
    fn what_cannot_be_taken_is_said_with_its_name() {
        let error = |text: &str| read(text, &apex()).unwrap_err();
        assert_eq!(error("$INCLUDE /etc/passwd\n"), ZoneFileError::Include);
        assert!(matches!(error("other.example. 60 IN A 203.0.113.7"), ZoneFileError::Outside(_)));
        assert!(matches!(error("@ 60 CH A 203.0.113.7"), ZoneFileError::Class(_)));
        assert!(matches!(error("@ 60 IN A 203.0.113"), ZoneFileError::Syntax(_)));
        assert!(matches!(error("@ 60 IN FUN 203.0.113"), ZoneFileError::Syntax(_)));
        assert_eq!(error(&"; x\n".repeat(600_000)), ZoneFileError::TooLong);
    }

    #[test]
    fn escaped_numbers_are_what_they_stand_for_or_an_error() {
        let text =
            |data: &str| read(&format!("x 60 IN TXT {data}"), &apex()).map(|records| super::data(&records[0].data));
        assert_eq!(text("\"a\\065b\"").unwrap(), "\"aAb\"");
        assert_eq!(text("\"\\195\\164\"").unwrap(), "\"\\195\\164\"", "an umlaut");
        assert_eq!(text("\"\\\\065\"").unwrap(), "\"\\\\065\"", "a backslash and digits");
        assert_eq!(text("\"\\034\"").unwrap(), "\"\\\"\"");
        for bad in ["\"\\010\"", "\"\\200\"", "\"\\127\""] {
            assert!(matches!(text(bad), Err(ZoneFileError::Escape(_))), "{bad}");
        }
    }

    proptest! {
        /// What is written is read as it was, or refused; never as something else.
        #[test]
        fn any_octets_survive_in_quotes_or_are_refused(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4),
            words in proptest::collection::vec("[^\\p{Cc}]{0,40}", 1..4),
        ) {
            let words: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
            for (parts, is_text) in [(parts, false), (words, true)] {
                let txt = hickory_proto::rr::rdata::TXT::from_bytes(parts.iter().map(Vec::as_slice).collect());
                let data = RData::TXT(txt);
                let text = super::data(&data);
                prop_assert!(text.is_ascii() && !text.contains('\n'));
                match read(&format!("x 60 IN TXT {text}"), &apex()) {
                    Ok(again) => prop_assert_eq!(&again[0].data, &data, "{}", text),
                    Err(error) => prop_assert!(!is_text, "{}: {}", text, error),
                }
            }
        }

        #[test]
        fn any_text_is_a_zone_file_or_an_error(text in "[ -~\n]{0,200}") {
            let _ = read(&text, &apex());
        }
    }
}
