use proptest::prelude::*;

use super::*;

const EMPTY: Head =
    Head { end: 0, body_bytes: 0, length: 0, coding: 0, count: 0, lines: [0; MAX_LINES as usize] };

/// Reads a head as the kernel does. Returns its end, and its body's position and length.
fn read(head: &[u8]) -> Option<(usize, Position, u32)> {
    let mut buffer = [b'\n'; HEAD_BYTES + 16];
    let len = head.len().min(HEAD_BYTES);
    buffer[..len].copy_from_slice(&head[..len]);
    let (mut read, mut position) = (EMPTY, Position::default());
    read.read(&mut buffer, u32::try_from(len).unwrap());
    if read.end == 0 {
        return None;
    }
    read.body(&buffer, &mut position);
    Some((read.end as usize, position, read.body_bytes))
}

#[test]
fn a_plain_framing_is_read() {
    const UNKNOWN: u8 = states::UNKNOWN;
    for (fields, state, bytes) in [
        ("Content-Length: 12345\r\n", states::LENGTH, 12_345),
        ("content-length:7\r\n", states::LENGTH, 7),
        ("A: b\r\nCONTENT-LENGTH: 999999999\r\nC: d\r\n", states::LENGTH, 999_999_999),
        ("Transfer-Encoding: chunked\r\n", states::SIZE, 0),
        ("x: y\r\ntransfer-encoding:Chunked\r\n", states::SIZE, 0),
        ("Content-Length: 1000000000\r\n", UNKNOWN, 0),
        ("Content-Length: +7\r\n", UNKNOWN, 0),
        ("Content-Length:  7\r\n", UNKNOWN, 0),
        ("Content-Length: 7, 7\r\n", UNKNOWN, 0),
        ("Content-Length:\r\n", UNKNOWN, 0),
        ("Content-Length : 7\r\n", UNKNOWN, 0),
        ("X-Content-Length: 7\r\n", UNKNOWN, 0),
        ("Transfer-Encoding: gzip, chunked\r\n", UNKNOWN, 0),
        ("Transfer-Encodings: chunked\r\n", UNKNOWN, 0),
        ("Transfer-Encoding: chunkedx\r\n", UNKNOWN, 0),
        ("Host: a\r\n", UNKNOWN, 0),
        ("", UNKNOWN, 0),
    ] {
        let head = format!("POST /upload HTTP/1.1\r\n{fields}\r\n");
        let (end, position, body) = read(format!("{head}body\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((end, position.state, body), (head.len(), state, bytes), "{fields}");
    }
}

#[test]
fn what_only_user_space_can_judge_is_left_to_it() {
    for fields in [
        "Content-Length: 7\r\nContent-Length: 7\r\n",
        "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ncontent-length: 7\r\n",
        "Expect: 100-continue\r\nContent-Length: 7\r\n",
    ] {
        assert_eq!(read(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()), None, "{fields}");
    }
    for incomplete in
        ["POST / HTTP/1.1\r\nContent-Length: 7\r\n", "POST / HTTP/1.1", "POST / HTTP/1.1\r\na: b\r\n\r"]
    {
        assert_eq!(read(incomplete.as_bytes()), None, "{incomplete}");
    }
    let long = format!("POST / HTTP/1.1\r\nx: {}\r\nContent-Length: 7\r\n\r\n", "y".repeat(HEAD_BYTES));
    assert_eq!(read(long.as_bytes()), None);
}

#[test]
fn what_is_left_of_an_earlier_head_has_no_lines() {
    for len in 60..1000 {
        let start = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 7\r\nx: ";
        let head = format!("{start}{}\r\n\r\n", "y".repeat(len - start.len() - 4));
        assert_eq!(read(head.as_bytes()), Some((len, Position::LENGTH, 7)), "{len}");
    }
}

#[test]
fn more_lines_than_are_noted_hide_no_head_before_them() {
    let head = "POST / HTTP/1.1\r\nContent-Length: 300\r\n\r\n";
    for lines in 0..300 {
        for line in ["ab\n", "ab\n\n"] {
            let found = read(format!("{head}{}", line.repeat(lines)).as_bytes());
            assert_eq!(found, Some((head.len(), Position::LENGTH, 300)), "{lines}");
        }
    }
    let head = format!("POST / HTTP/1.1\r\n{}Content-Length: 300\r\n\r\n", "ab: c\r\n".repeat(62));
    assert_eq!(read(head.as_bytes()), None);
}

/// Reads chunks as the kernel does, in packets of this length. Returns the positions at the packets' ends, and how many
/// bytes were read if the body has ended.
fn read_chunks(bytes: &[u8], packet: usize) -> (Vec<Position>, Option<usize>) {
    let (mut position, mut at, mut positions) = (Position::CHUNK, 0, Vec::new());
    for end in (packet..bytes.len() + packet).step_by(packet) {
        while at < end.min(bytes.len()) {
            at += 1 + position.step(bytes[at]) as usize;
            match position.state {
                states::END => return (positions, Some(at)),
                states::UNKNOWN => return (positions, None),
                _ => {}
            }
        }
        positions.push(position);
    }
    (positions, None)
}

#[test]
fn chunks_are_followed_however_they_are_cut() {
    for (bytes, len) in [
        (&b"0\r\n\r\n"[..], Some(5)),
        (b"3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
        (b"0000A\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n", Some(32)),
        (b"3\nabc\r\n0\r\n\r\n", None),
        (b"3;x=y\r\nabc\r\n0\r\n\r\n", None),
        (b"0\r\nx: y\r\n\r\n", None),
        (b"10000000\r\n", None),
        (b"\r\n", None),
        (b"g\r\n", None),
    ] {
        for packet in 1..=bytes.len() {
            assert_eq!(read_chunks(bytes, packet).1, len, "{} by {packet}", bytes.escape_ascii());
        }
    }
}

proptest! {
    /// The end of any bytes is found where a search byte by byte finds it, if they are plain.
    #[test]
    fn the_end_is_the_first_empty_line(text in "[a-z:\r\n ]{0,300}") {
        let head = format!("POST / HTTP/1.1\r\n{text}");
        let lines = head.split_inclusive('\n');
        let mut end = 0;
        let expected = lines.into_iter().find_map(|line| {
            end += line.len();
            (line == "\r\n" || line == "\n").then_some(end)
        });
        let found = read(head.as_bytes()).map(|(end, ..)| end);
        // Three lines in one word are left to user space, and so are very many.
        let ends = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() - 1;
        let is_odd =
            head.as_bytes().chunks(8).any(|word| ends(word) > 2) || ends(head.as_bytes()) >= MAX_LINES as usize;
        prop_assert!(found == expected || (found.is_none() && is_odd), "{found:?} {expected:?}");
    }
}
