//! Receives the content after DATA or BDAT: where it ends, what is in it, and whether it may be kept.
//!
//! Only CRLF.CRLF ends it after DATA, only its announced length after BDAT (RFC 3030 §2). In both, CR or LF that stand alone condemn it (answered after the end): a content that two
//! servers divide differently is how mail is smuggled.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;
use sha2::{Digest, Sha256};

use super::header::HeaderReader;
use crate::spool::{CHUNK_OCTETS_MAX, HeaderSummary};

/// Where the next octet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// At the beginning of a line, the first included.
    LineStart,
    /// Within a line.
    Line,
    /// Behind a CR that is not passed on yet.
    Cr,
    /// Behind a dot at the beginning of a line, which is not passed on (RFC 5321 §4.5.2).
    Dot,
    /// Behind such a dot and a CR.
    DotCr,
    /// In a line of NULs alone.
    Nuls,
    /// In a line that is a dot among NULs, the first of them before it.
    NulDot,
}

/// Why a content that was read to its end is not kept. The gravest comes first where there are several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// More octets than the limit.
    TooBig,
    /// A CR or LF that stands alone; or a line that is the final dot to whoever leaves out NULs.
    BareLineEnd,
    /// More `Received` lines than any honest way needs.
    Loop,
}

/// What feeding came to.
#[derive(PartialEq, Eq, Debug)]
pub enum Fed {
    /// All input is used up; there is more to come.
    NeedMore,
    /// A full piece, which goes to the spool ahead of the rest. Input may be left.
    Piece(Bytes),
    /// The final dot or the last octet of the chunk was read. Input behind it belongs to the next command.
    End,
}

/// A content that was read to its end.
#[derive(PartialEq, Eq, Debug)]
pub struct Received {
    /// The last piece, unless it is empty.
    pub tail: Vec<Bytes>,
    /// Pieces given out before.
    pub chunks_ahead: u32,
    /// Octets in all.
    pub octets: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
    /// For the page.
    pub header: HeaderSummary,
    /// Why it is not kept, if it is not.
    pub fault: Option<Fault>,
}

/// Reads one content.
#[derive(Debug)]
pub struct ContentReader {
    at: At,
    /// Octets that the chunk still has to bring; none where the final dot ends the content.
    left: Option<u64>,
    piece: BytesMut,
    sha256: Sha256,
    chunks_ahead: u32,
    octets: u64,
    octets_max: u64,
    has_bare_line_end: bool,
    header: HeaderReader,
}

impl ContentReader {
    /// Begins behind the reply to DATA, unless [`begin_chunk`](Self::begin_chunk) follows. `octets_expected` is what
    /// the sender declared, for the first allocation.
    #[must_use]
    pub fn new(octets_max: u64, octets_expected: Option<u64>) -> Self {
        let expected = octets_expected.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(4096);
        Self {
            at: At::LineStart,
            left: None,
            piece: BytesMut::with_capacity(expected.clamp(1024, CHUNK_OCTETS_MAX)),
            sha256: Sha256::new(),
            chunks_ahead: 0,
            octets: 0,
            octets_max,
            has_bare_line_end: false,
            header: HeaderReader::default(),
        }
    }

    /// The next octets are a chunk of this length (RFC 3030 §2). Lines and line ends may go over its edges.
    pub const fn begin_chunk(&mut self, octets: u64) {
        self.left = Some(octets);
    }

    /// Octets of content so far.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether pieces lie in the spool that have to be taken back if this ends badly.
    #[must_use]
    pub const fn has_pieces_ahead(&self) -> bool {
        self.chunks_ahead > 0
    }

    /// Reads on. Uses up `input` to its end, to the end of a piece, to the final dot or to the end of the chunk.
    pub fn feed(&mut self, input: &mut BytesMut) -> Fed {
        loop {
            if self.piece.len() >= CHUNK_OCTETS_MAX {
                return Fed::Piece(self.seal_piece());
            }
            if self.left == Some(0) {
                return Fed::End;
            }
            let Some(&octet) = input.first() else { return Fed::NeedMore };
            match (self.at, octet) {
                (At::LineStart, b'.') if self.left.is_none() => self.step(At::Dot, input),
                (At::LineStart | At::Dot | At::Nuls, 0) => self.nul_line(At::Nuls, input),
                (At::Nuls, b'.') | (At::NulDot, 0) => self.nul_line(At::NulDot, input),
                (At::NulDot, b'\r') => {
                    self.has_bare_line_end = true;
                    self.step(At::Cr, input);
                }
                (At::LineStart | At::Line | At::Nuls, b'\r') => self.step(At::Cr, input),
                (At::Dot, b'\r') => self.step(At::DotCr, input),
                (At::DotCr, b'\n') => {
                    input.advance(1);
                    return Fed::End;
                }
                (At::Cr, b'\n') => {
                    self.keep(b"\r\n");
                    self.header.line_end();
                    self.step(At::LineStart, input);
                }
                (At::Cr | At::DotCr, _) => {
                    self.has_bare_line_end = true;
                    self.keep(b"\r");
                    self.at = At::Line;
                }
                (At::LineStart | At::Line | At::Dot | At::Nuls | At::NulDot, b'\n') => {
                    self.has_bare_line_end = true;
                    self.keep(b"\n");
                    self.step(At::Line, input);
                }
                (At::LineStart | At::Line | At::Dot | At::Nuls | At::NulDot, _) => {
                    self.at = At::Line;
                    self.text(input);
                }
            }
        }
    }

    /// One octet of a line that may be a dot among NULs. What is such a line ends the content for a server that leaves
    /// out NULs (the C strings of old), and for us it does not: nothing of the kind may go on.
    fn nul_line(&mut self, at: At, input: &mut BytesMut) {
        let octet = if at == At::NulDot && self.at == At::Nuls { b"." } else { b"\0" };
        self.header.text(octet);
        self.keep(octet);
        self.step(at, input);
    }

    fn step(&mut self, at: At, input: &mut BytesMut) {
        self.at = at;
        self.take(1, input);
    }

    fn take(&mut self, octets: usize, input: &mut BytesMut) {
        input.advance(octets);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
        }
    }

    /// Takes what stands before the next CR or LF, as far as the piece has room.
    fn text(&mut self, input: &mut BytesMut) {
        let room = CHUNK_OCTETS_MAX.saturating_sub(self.piece.len());
        let chunk = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let within = input.len().min(room).min(chunk);
        let (text, _) = input.split_at_checked(within).unwrap_or_default();
        let length = memchr2(b'\r', b'\n', text).unwrap_or(within);
        let (text, _) = text.split_at_checked(length).unwrap_or_default();
        self.header.text(text);
        self.keep(text);
        self.take(length, input);
    }

    /// Adds to the content, unless it is condemned already: then its octets are only counted.
    fn keep(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if self.fault().is_none() {
            self.piece.extend_from_slice(octets);
        } else {
            self.piece.clear();
        }
    }

    fn seal_piece(&mut self) -> Bytes {
        // Two octets of a line end may have gone over the edge; they begin the next piece.
        let full = self.piece.split_to(CHUNK_OCTETS_MAX).freeze();
        self.sha256.update(&full);
        self.chunks_ahead += 1;
        self.piece.reserve(CHUNK_OCTETS_MAX);
        full
    }

    const fn fault(&self) -> Option<Fault> {
        if self.octets > self.octets_max {
            Some(Fault::TooBig)
        } else if self.has_bare_line_end {
            Some(Fault::BareLineEnd)
        } else if self.header.is_loop() {
            Some(Fault::Loop)
        } else {
            None
        }
    }

    /// The content, once [`feed`](Self::feed) has said [`Fed::End`] to all of it.
    #[must_use]
    pub fn finish(mut self) -> Received {
        match self.at {
            // Only a chunk ends so: a CR that no LF followed.
            At::Cr => {
                self.has_bare_line_end = true;
                self.keep(b"\r");
            }
            // Its line end is added on the way out.
            At::NulDot => self.has_bare_line_end = true,
            At::Line | At::Nuls => self.header.line_end(),
            At::LineStart | At::Dot | At::DotCr => {}
        }
        let fault = self.fault();
        if fault.is_some() {
            self.piece.clear();
        }
        let mut tail = Vec::new();
        while !self.piece.is_empty() {
            let piece = self.piece.split_to(self.piece.len().min(CHUNK_OCTETS_MAX)).freeze();
            self.sha256.update(&piece);
            tail.push(piece);
        }
        Received {
            tail,
            chunks_ahead: self.chunks_ahead,
            octets: self.octets,
            sha256: self.sha256.finalize().into(),
            header: self.header.finish(),
            fault,
        }
    }
}

#[cfg(test)]
mod tests;
