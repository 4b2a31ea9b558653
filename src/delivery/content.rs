//! Which octets go between 354 and the reply: trace and content byte for byte, dots doubled, and only if they are
//! what was stored.

use memchr::memchr2;
use sha2::{Digest, Sha256};

use crate::spool::CHUNK_OCTETS_MAX;

/// Most octets of content that one connection holds: a piece as stored, one taken ahead, and one with each octet
/// doubled on its way out.
pub const BODY_OCTETS_IN_MEMORY_MAX: usize = 4 * CHUNK_OCTETS_MAX;

/// Why a message must not leave. It is kept as it is.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR or LF of its own could end the message early on a lenient server (SMTP smuggling).
    #[error("the stored content has a CR or LF of its own")]
    BareLineEnd,
    /// The digest is not the one of intake.
    #[error("stored content is damaged")]
    Damaged,
}

/// Encodes one message for DATA (RFC 5321 §4.5.2).
#[derive(Debug, Default)]
pub struct ContentEncoder {
    digest: Sha256,
    octets: u64,
    is_within_line: bool,
    is_after_cr: bool,
}

impl ContentEncoder {
    /// Appends our trace fields to `out`.
    ///
    /// # Errors
    /// [`ContentFault::BareLineEnd`].
    pub fn trace(&mut self, trace: &[u8], out: &mut Vec<u8>) -> Result<(), ContentFault> {
        self.encode(trace, out)
    }

    /// Appends the next piece of content to `out`.
    ///
    /// # Errors
    /// [`ContentFault::BareLineEnd`]; nothing of `out` may be sent then.
    pub fn content(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), ContentFault> {
        self.digest.update(piece);
        self.octets += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.encode(piece, out)
    }

    /// Appends the end of data, after a CRLF where the content has none of its own.
    ///
    /// # Errors
    /// [`ContentFault`]: the message must not get its dot.
    pub fn finish(self, sha256: [u8; 32], octets: u64, out: &mut Vec<u8>) -> Result<(), ContentFault> {
        if self.is_after_cr {
            return Err(ContentFault::BareLineEnd);
        }
        if self.octets != octets || <[u8; 32]>::from(self.digest.finalize()) != sha256 {
            return Err(ContentFault::Damaged);
        }
        if self.is_within_line {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        Ok(())
    }

    fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), ContentFault> {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.is_after_cr {
                let Some((b'\n', after)) = rest.split_first() else { return Err(ContentFault::BareLineEnd) };
                out.push(b'\n');
                rest = after;
                self.is_after_cr = false;
                self.is_within_line = false;
                continue;
            }
            if !self.is_within_line && rest.first() == Some(&b'.') {
                out.push(b'.');
            }
            self.is_within_line = true;
            let end = memchr2(b'\r', b'\n', rest);
            let (line, after) = end.and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, &[]));
            out.extend_from_slice(line);
            rest = after;
            if let Some((end, after)) = rest.split_first() {
                if *end == b'\n' {
                    return Err(ContentFault::BareLineEnd);
                }
                out.push(b'\r');
                self.is_after_cr = true;
                rest = after;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(pieces: &[&[u8]], tamper: bool) -> Result<Vec<u8>, ContentFault> {
        let whole = pieces.concat();
        let mut digest: [u8; 32] = Sha256::digest(&whole).into();
        if tamper {
            digest[0] ^= 1;
        }
        let mut encoder = ContentEncoder::default();
        let mut out = Vec::new();
        encoder.trace(b"Received: x\r\n", &mut out)?;
        for piece in pieces {
            encoder.content(piece, &mut out)?;
        }
        encoder.finish(digest, whole.len() as u64, &mut out)?;
        Ok(out.strip_prefix(b"Received: x\r\n").unwrap().to_vec())
    }

    #[test]
    fn dots_at_line_starts_are_doubled_also_across_pieces() {
        assert_eq!(encode(&[b".\r\n..a\r\n"], false).unwrap(), b"..\r\n...a\r\n.\r\n");
        assert_eq!(encode(&[b"a\r", b"\n", b".", b"b.\r\n"], false).unwrap(), b"a\r\n..b.\r\n.\r\n");
    }

    #[test]
    fn empty_content_is_a_lone_dot_and_a_missing_crlf_is_added() {
        assert_eq!(encode(&[], false).unwrap(), b".\r\n");
        assert_eq!(encode(&[b"a"], false).unwrap(), b"a\r\n.\r\n");
        assert_eq!(encode(&[b"\r\n"], false).unwrap(), b"\r\n.\r\n");
    }

    #[test]
    fn bare_line_ends_never_leave() {
        for pieces in [&[&b"a\nb\r\n"[..]][..], &[b"a\rb\r\n"], &[b"a\r", b"b\r\n"], &[b"a\r\r\n"], &[b"a\r"], &[b"\n"]]
        {
            assert_eq!(encode(pieces, false), Err(ContentFault::BareLineEnd), "{pieces:?}");
        }
    }

    #[test]
    fn damaged_content_gets_no_dot() {
        assert_eq!(encode(&[b"a\r\n"], true), Err(ContentFault::Damaged));
        let mut out = Vec::new();
        assert_eq!(ContentEncoder::default().finish([0; 32], 3, &mut out), Err(ContentFault::Damaged));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn a_receiver_reads_back_exactly_what_was_stored(
            lines in proptest::collection::vec("[.a\u{e4}]{0,4}", 0..12), cuts in proptest::collection::vec(0usize..60, 0..4)
        ) {
            let whole: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\r\n"].concat()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(whole.len())).collect();
            cuts.sort_unstable();
            cuts.push(whole.len());
            let mut from = 0;
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(&whole[from..cut]);
                from = cut;
            }
            let sent = encode(&pieces, false).unwrap();
            let text = sent.strip_suffix(b".\r\n").unwrap();
            let mut read = Vec::new();
            for line in text.split_inclusive(|b| *b == b'\n') {
                prop_assert_ne!(line, b".\r\n");
                read.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            prop_assert_eq!(read, whole);
        }
    }
}
