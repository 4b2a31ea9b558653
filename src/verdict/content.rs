//! Takes stored content apart for the checks without ever holding it whole: the header section, then hashes of the body.

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha256};
use mail_auth::common::verify::VerifySignature;
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;
use memchr::memmem;

use super::finding::{DkimFinding, Finding, tidy_name};

/// Octets of the longest header section whose signatures are looked at. Real ones stay below 64 KiB.
pub const HEADER_OCTETS_MAX: usize = 256 * 1024;

/// Header fields of such a message, at most: each name in a signature is looked for among all of them.
pub const HEADER_FIELDS_MAX: usize = 1_000;

/// Names of header fields in one signature, at most.
pub const SIGNED_FIELDS_MAX: usize = 200;

/// Signatures of one message that are looked at. RFC 6376 §6.1 lets a verifier choose.
pub const SIGNATURES_MAX: usize = 8;

/// Octets of the largest body that is hashed for its signatures; as long as a 64 MiB message of the default size limit.
pub const BODY_OCTETS_MAX: u64 = 64 * 1024 * 1024;

/// Collects pieces of content up to the end of the header section.
#[derive(Debug, Default)]
pub struct HeaderSection {
    octets: Vec<u8>,
    scanned: usize,
}

/// What came of a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Collected {
    /// The section goes on.
    NeedMore,
    /// It ended; these octets are the body's first.
    End(Vec<u8>),
    /// It is longer than [`HEADER_OCTETS_MAX`].
    TooLong,
}

impl HeaderSection {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) -> Collected {
        self.octets.extend_from_slice(piece);
        // A message may begin with its empty line.
        let from = if self.scanned == 0 && self.octets.starts_with(b"\r\n") {
            Some(2)
        } else {
            let unseen = self.octets.get(self.scanned..).unwrap_or_default();
            memmem::find(unseen, b"\r\n\r\n").map(|at| self.scanned + at + 4)
        };
        match from {
            Some(body) if body <= HEADER_OCTETS_MAX => Collected::End(self.octets.split_off(body)),
            Some(_) => Collected::TooLong,
            None if self.octets.len() > HEADER_OCTETS_MAX => Collected::TooLong,
            None => {
                self.scanned = self.octets.len().saturating_sub(3);
                Collected::NeedMore
            }
        }
    }

    /// The section with the empty line that ends it, if there was one.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// A header section with its signatures, those that are too costly or too weak taken out.
pub struct Signed<'x> {
    /// For mail-auth. Its body hashes are those of an empty body until [`set_body`](Self::set_body).
    pub message: AuthenticatedMessage<'x>,
    /// Signatures that are not even looked at, with the reason to give.
    pub left_out: Vec<DkimFinding>,
}

impl<'x> Signed<'x> {
    /// Reads a header section; none without any field, or with too many.
    #[must_use]
    pub fn read(section: &'x [u8]) -> Option<Self> {
        let mut message = AuthenticatedMessage::parse(section)?;
        if message.headers.len() > HEADER_FIELDS_MAX {
            return None;
        }
        let mut left_out = Vec::new();
        message.dkim_headers.retain(|header| {
            let signature = &header.header;
            // RFC 8301 §3.1: rsa-sha1 is no signature any more.
            let is_usable = HashAlgorithm::from(signature.algorithm()) == HashAlgorithm::Sha256
                && signature.h.len() <= SIGNED_FIELDS_MAX;
            if !is_usable {
                left_out.push(DkimFinding {
                    finding: Finding::PermError,
                    domain: tidy_name(&signature.d),
                    selector: tidy_name(&signature.s),
                });
            }
            is_usable
        });
        message.dkim_headers.truncate(SIGNATURES_MAX);
        message.errors.truncate(SIGNATURES_MAX);
        left_out.truncate(SIGNATURES_MAX - message.dkim_headers.len().min(SIGNATURES_MAX));
        if message.ams_headers.iter().any(|header| header.header.h.len() > SIGNED_FIELDS_MAX) {
            // A chain with a hole is broken, and costs nothing.
            message.ams_headers.clear();
        }
        Some(Self { message, left_out })
    }

    /// Whether the body has to be read at all.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        !self.message.dkim_headers.is_empty() || !self.message.ams_headers.is_empty()
    }

    /// Hashes for the body, one for each way of reading it that a signature wants.
    #[must_use]
    pub fn body_hashes(&self) -> BodyHashes {
        let wanted = |canonicalization: Canonicalization| {
            self.message
                .body_hashes
                .iter()
                .any(|(c, h, l, _)| *c == canonicalization && *h == HashAlgorithm::Sha256 && *l == 0)
        };
        let hash = |c: Canonicalization| wanted(c).then(|| (c, BodyHasher::new(<Sha256 as HashImpl>::hasher(), c, 0)));
        BodyHashes([Canonicalization::Relaxed, Canonicalization::Simple].into_iter().filter_map(hash).collect())
    }

    /// Puts in what [`body_hashes`](Self::body_hashes) came to.
    pub fn set_body(&mut self, hashes: BodyHashes) {
        for (canonicalization, hasher) in hashes.0 {
            let digest = hasher.finish().0.complete().as_ref().to_vec();
            for (c, h, l, hash) in &mut self.message.body_hashes {
                if *c == canonicalization && *h == HashAlgorithm::Sha256 && *l == 0 {
                    hash.clone_from(&digest);
                }
            }
        }
    }
}

/// Running hashes of a body.
pub struct BodyHashes(Vec<(Canonicalization, BodyHasher<<Sha256 as HashImpl>::Context>)>);

impl BodyHashes {
    /// The next octets of the body.
    pub fn add(&mut self, octets: &[u8]) {
        for (_, hasher) in &mut self.0 {
            hasher.write(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_section_ends_with_its_empty_line_wherever_the_pieces_are_cut() {
        let content = b"From: a@b.example\r\nX: y\r\n\r\nbody\r\n\r\nmore\r\n";
        for cut in 0..content.len() {
            let (first, second) = content.split_at(cut);
            let mut section = HeaderSection::default();
            let mut body = Vec::new();
            match section.add(first) {
                Collected::NeedMore => match section.add(second) {
                    Collected::End(rest) => body = rest,
                    Collected::NeedMore | Collected::TooLong => panic!("at {cut}"),
                },
                Collected::End(rest) => {
                    body.extend(rest);
                    body.extend_from_slice(second);
                }
                Collected::TooLong => panic!("at {cut}"),
            }
            assert_eq!(section.octets(), b"From: a@b.example\r\nX: y\r\n\r\n", "{cut}");
            assert_eq!(body, b"body\r\n\r\nmore\r\n", "{cut}");
        }
    }

    #[test]
    fn an_endless_header_section_is_given_up() {
        let mut section = HeaderSection::default();
        let piece = vec![b'a'; 64 * 1024];
        assert!((0..4).all(|_| section.add(&piece) == Collected::NeedMore));
        assert_eq!(section.add(&piece), Collected::TooLong);
        assert_eq!(HeaderSection::default().add(b"\r\nbody"), Collected::End(b"body".to_vec()));
    }

    #[test]
    fn costly_and_weak_signatures_are_left_out() {
        let signature = |algorithm: &str, names: usize, domain: &str| {
            let h = vec!["from"; names].join(":");
            format!(
                "DKIM-Signature: v=1; a={algorithm}; d={domain}; s=s; h={h}; bh=AAAA; b=AAAA; c=relaxed/relaxed\r\n"
            )
        };
        let mut text = signature("rsa-sha1", 1, "weak.example") + &signature("rsa-sha256", 201, "costly.example");
        for number in 0..12 {
            text.push_str(&signature("rsa-sha256", 1, &format!("d{number}.example")));
        }
        text.push_str("From: a@b.example\r\n\r\n");
        let signed = Signed::read(text.as_bytes()).unwrap();
        assert_eq!(signed.message.dkim_headers.len(), SIGNATURES_MAX);
        assert!(signed.needs_body() && signed.left_out.is_empty(), "no place is left for them");
        let text = signature("rsa-sha1", 1, "weak.example") + "From: a@b.example\r\n\r\n";
        let signed = Signed::read(text.as_bytes()).unwrap();
        assert_eq!(
            (signed.left_out[0].finding, signed.left_out[0].domain.as_str()),
            (Finding::PermError, "weak.example")
        );
        assert!(!signed.needs_body());
        assert!(Signed::read("A: b\r\n".repeat(HEADER_FIELDS_MAX + 1).as_bytes()).is_none());
    }
}
