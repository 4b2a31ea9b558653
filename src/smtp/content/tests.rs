//! Contents cut at every place, honest ones and those that smuggle.

use proptest::prelude::*;

use super::*;

/// Feeds `wire` in the parts that `cuts` makes; the content, and what is left behind the final dot.
fn read(wire: &[u8], cuts: &[usize], octets_max: u64) -> Option<(Vec<u8>, Received, Vec<u8>)> {
    let mut reader = ContentReader::new(octets_max, None);
    let (mut content, mut input, mut start) = (Vec::new(), BytesMut::new(), 0);
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < wire.len()).collect();
    ends.push(wire.len());
    ends.sort_unstable();
    for end in ends {
        input.extend_from_slice(&wire[start..end]);
        start = end;
        loop {
            match reader.feed(&mut input) {
                Fed::NeedMore => break,
                Fed::Piece(piece) => {
                    assert_eq!(piece.len(), CHUNK_OCTETS_MAX);
                    content.extend_from_slice(&piece);
                }
                Fed::End => {
                    input.extend_from_slice(&wire[start..]);
                    let received = reader.finish();
                    received.tail.iter().for_each(|piece| content.extend_from_slice(piece));
                    return Some((content, received, input.to_vec()));
                }
            }
        }
    }
    None
}

/// RFC 5321 §4.5.2 from the sender's side.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut is_line_start = true;
    for (at, octet) in content.iter().enumerate() {
        if is_line_start && *octet == b'.' {
            wire.push(b'.');
        }
        wire.push(*octet);
        is_line_start = *octet == b'\n' && at > 0 && content[at - 1] == b'\r';
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[test]
fn a_dot_among_nuls_does_not_end_the_content_and_condemns_it() {
    for line in ["\0.", "\0\0.", "\0.\0", "\0\0.\0\0", ".\0.", ".\0\0.\0"] {
        let wire = format!("Subject: x\r\n\r\nhello\r\n{line}\r\nMAIL FROM:<x@y.example>\r\n.\r\nNOOP\r\n");
        for cut in 0..wire.len() {
            let (_, received, left) = read(wire.as_bytes(), &[cut], 1_000).unwrap();
            assert_eq!(received.fault, Some(Fault::BareLineEnd), "{line:?} cut at {cut}");
            assert_eq!(left, b"NOOP\r\n", "{line:?} cut at {cut}");
        }
        let mut reader = ContentReader::new(1_000, None);
        let chunk = format!("{}\r\n", line.trim_start_matches('.'));
        reader.begin_chunk(chunk.len() as u64);
        assert_eq!(reader.feed(&mut BytesMut::from(chunk.as_str())), Fed::End, "{line:?} by BDAT");
        assert_eq!(reader.finish().fault, Some(Fault::BareLineEnd), "{line:?} by BDAT");
    }
    let mut reader = ContentReader::new(1_000, None);
    reader.begin_chunk(2);
    assert_eq!(reader.feed(&mut BytesMut::from("\0.")), Fed::End);
    assert_eq!(reader.finish().fault, Some(Fault::BareLineEnd), "a last line without an end gets one on the way out");
}

#[test]
fn other_nuls_are_passed_on_as_they_came() {
    for content in ["a\0b\r\n", "\0\r\n", "\0\0\r\n", "\0.x\r\n", "\0x.\r\n", "x\0.\r\n", "\0\r\n.\0\r\n", "\0..\r\n"] {
        let mut wire = stuffed(content.as_bytes());
        wire.extend_from_slice(b".\r\n");
        for cut in 0..wire.len() {
            let (found, received, _) = read(&wire, &[cut], 1_000).unwrap();
            assert_eq!((found.as_slice(), received.fault), (content.as_bytes(), None), "{content:?} cut at {cut}");
        }
    }
}

#[test]
fn content_is_the_same_wherever_packets_divide_it() {
    for content in
        ["", "\r\n", "a\r\n", ".\r\n", "..\r\n", ".a\r\n\r\n..b\r\n", "a\r\n.\r\nb\r\n", "x: y\r\n\r\n.\r\n.\r\n"]
    {
        let mut wire = stuffed(content.as_bytes());
        wire.extend_from_slice(b"QUIT\r\n");
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let (got, received, left) = read(&wire, &[first, second], 1000).unwrap();
                assert_eq!(got, content.as_bytes(), "{content:?} cut at {first} and {second}");
                assert_eq!((left.as_slice(), received.fault), (&b"QUIT\r\n"[..], None));
                assert_eq!(received.octets, content.len() as u64);
                assert_eq!(received.sha256, <[u8; 32]>::from(Sha256::digest(content)));
            }
        }
    }
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_a_content_and_what_tries_is_condemned() {
    for end in [
        "\n.\n",
        "\r.\r",
        "\r\n.\n",
        "\n.\r\n",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\n\n.\n\n",
        "\r\n.\n\r\n",
        "\r\n\r.\r\n",
        "\n.\r\r\n",
        "\r\n.\0\n",
    ] {
        let wire = format!("a: b\r\n\r\nfirst{end}MAIL FROM:<x@y.example>\r\nsecond\r\n.\r\n");
        for cut in 0..wire.len() {
            let (_, received, left) = read(wire.as_bytes(), &[cut], 1000).unwrap();
            assert_eq!(received.fault, Some(Fault::BareLineEnd), "{end:?} cut at {cut}");
            assert!(left.is_empty() && received.tail.is_empty(), "{end:?} cut at {cut}");
        }
    }
}

#[test]
fn a_dot_alone_without_its_line_end_goes_on_waiting() {
    for wire in ["", ".", ".\r", "a\r\n.\r", "a.\r\n", "a\r\n..\r\n", "a\r\n.a\r\n"] {
        assert!(read(wire.as_bytes(), &[], 1000).is_none(), "{wire:?}");
    }
}

#[test]
fn too_much_is_read_to_its_end_and_not_kept() {
    let content = format!("{}\r\n", "a".repeat(98));
    assert_eq!(read(&stuffed(content.as_bytes()), &[], 100).unwrap().1.fault, None);
    let (got, received, _) = read(&stuffed(content.as_bytes()), &[], 99).unwrap();
    assert_eq!((received.fault, received.octets), (Some(Fault::TooBig), 100));
    assert!(got.is_empty());
}

#[test]
fn a_long_content_leaves_in_full_pieces() {
    for extra in [0, 1, 2, 3, 1000] {
        let line = "0123456789abcde\r\n";
        let content = format!("{}{}\r\n", line.repeat(3 * CHUNK_OCTETS_MAX / line.len()), "x".repeat(extra));
        let (got, received, _) = read(&stuffed(content.as_bytes()), &[7, 70_000], 1 << 20).unwrap();
        assert_eq!(got, content.as_bytes());
        assert!(received.chunks_ahead >= 2 && received.tail.iter().all(|piece| piece.len() <= CHUNK_OCTETS_MAX));
        assert_eq!(received.sha256, <[u8; 32]>::from(Sha256::digest(&content)));
    }
}

#[test]
fn a_line_without_end_is_passed_on_unchanged() {
    let content = format!("{}\r\n", "y".repeat(200_000));
    assert_eq!(read(&stuffed(content.as_bytes()), &[], 1 << 20).unwrap().0, content.as_bytes());
}

/// Feeds `content` in chunks and each chunk in parts of `step` octets.
fn read_chunks(content: &[u8], edges: &[usize], step: usize) -> (Vec<u8>, Received) {
    let mut reader = ContentReader::new(1 << 20, None);
    let mut edges: Vec<usize> = edges.iter().map(|edge| (*edge).min(content.len())).collect();
    edges.push(content.len());
    edges.sort_unstable();
    let (mut kept, mut start) = (Vec::new(), 0);
    for edge in edges {
        let chunk = &content[start..edge];
        start = edge;
        reader.begin_chunk(chunk.len() as u64);
        let mut input = BytesMut::new();
        // What follows the chunk is on its way already and must stay.
        let wire = [chunk, b"\r\n.\r\nQUIT\r\n"].concat();
        let mut parts = wire.chunks(step);
        loop {
            match reader.feed(&mut input) {
                Fed::NeedMore => input.extend_from_slice(parts.next().unwrap()),
                Fed::Piece(piece) => kept.extend_from_slice(&piece),
                Fed::End => break,
            }
        }
        parts.for_each(|part| input.extend_from_slice(part));
        assert_eq!(&input[..], b"\r\n.\r\nQUIT\r\n");
    }
    let received = reader.finish();
    received.tail.iter().for_each(|piece| kept.extend_from_slice(piece));
    (kept, received)
}

#[test]
fn chunks_carry_any_content_of_whole_line_ends_as_it_is() {
    for content in ["", ".", "\r\n.\r\n", "a", "a\r\n.\r\nMAIL FROM:<x@y.example>\r\n..\r\nb", "\r\n\r\n", "Subject: x"]
    {
        for edge in 0..=content.len() {
            for step in 1..4 {
                let (kept, received) = read_chunks(content.as_bytes(), &[edge], step);
                assert_eq!((kept.as_slice(), received.fault), (content.as_bytes(), None), "{content:?} at {edge}");
                assert_eq!(received.octets, content.len() as u64);
                assert_eq!(received.sha256, <[u8; 32]>::from(Sha256::digest(content)));
            }
        }
    }
}

#[test]
fn the_last_header_line_of_a_chunk_needs_no_line_end() {
    assert_eq!(read_chunks(b"Subject: x", &[], 3).1.header.subject, "x");
}

#[test]
fn chunks_with_bare_line_ends_are_condemned_wherever_they_are_divided() {
    for content in ["a\nb", "a\rb", "a\r", "\n", "\r\r\n", "a\r\n\n", "a\r\n\r"] {
        for edge in 0..=content.len() {
            let (_, received) = read_chunks(content.as_bytes(), &[edge], 2);
            assert_eq!(received.fault, Some(Fault::BareLineEnd), "{content:?} at {edge}");
            assert!(received.tail.is_empty());
        }
    }
}

#[test]
fn a_big_chunk_leaves_in_full_pieces() {
    let content = format!("{}end", "0123456789abcde\r\n".repeat(10_000));
    let (kept, received) = read_chunks(content.as_bytes(), &[65_535, 65_536, 100_000], 16_384);
    assert!(kept == content.as_bytes() && received.chunks_ahead == 2 && received.fault.is_none());
}

proptest! {
    #[test]
    fn any_content_of_whole_lines_comes_through(
        lines in proptest::collection::vec("[.\\x00-\\x09\\x0b\\x0c\\x0e-\\x7f]{0,5}", 0..12),
        cuts in proptest::collection::vec(0usize..120, 0..6),
    ) {
        // Those condemn the content.
        let is_nul_dot = |line: &String| line.starts_with('\0') && line.trim_matches('\0') == ".";
        prop_assume!(!lines.iter().any(is_nul_dot));
        let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let (got, received, left) = read(&stuffed(content.as_bytes()), &cuts, 1000).unwrap();
        prop_assert_eq!(got, content.as_bytes());
        prop_assert_eq!((received.fault, left.len()), (None, 0));
    }

    #[test]
    fn the_end_is_where_a_plain_search_finds_it(
        octets in proptest::collection::vec(proptest::sample::select(vec![b'\r', b'\n', b'.', b'a']), 0..24),
        cuts in proptest::collection::vec(0usize..30, 0..4),
    ) {
        let before = [b"\r\n", octets.as_slice()].concat();
        let expected = before.windows(5).position(|window| window == b"\r\n.\r\n");
        let result = read(&octets, &cuts, 1000);
        prop_assert_eq!(result.is_some(), expected.is_some());
        if let (Some((_, received, left)), Some(at)) = (result, expected) {
            prop_assert_eq!(left.as_slice(), &before[at + 5..]);
            let content = &before[2..(at + 2).max(2)];
            let bare = (0..content.len()).any(|i| match content[i] {
                b'\r' => content.get(i + 1) != Some(&b'\n'),
                b'\n' => i == 0 || content[i - 1] != b'\r',
                _ => false,
            });
            prop_assert_eq!(received.fault.is_some(), bare);
        }
    }
}
