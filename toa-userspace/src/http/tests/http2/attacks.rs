//! What a client may send to make a receiver work or keep too much: bounded memory, and a count for each.

use super::*;
use crate::http::http2::MAX_TABLE_BYTES;

fn opened() -> Wire {
    let mut wire = Wire::new(true);
    wire.data(PREFACE);
    wire
}

/// Checks that a connection is given up after the first frame, with the malformed request that it has.
fn expect_broken(frames: &[u8], has_request: bool) {
    let mut wire = opened();
    wire.data(frames);
    wire.data(&request(9, "/never"));
    let last = wire.found.pop();
    assert_eq!(last, Some(Found::reason("http2")), "{}", frames.escape_ascii());
    assert_eq!(wire.found.len(), usize::from(has_request), "{}", frames.escape_ascii());
    let is_marked =
        |it: &Found| it.malformation == Some(Malformation::Compression) || it.incomplete == Some(Cause::End);
    assert!(wire.found.iter().all(is_marked));
    assert_eq!((wire.ledger.not_http, wire.parser.unneeded_bytes()), (1, u64::MAX));
    assert!(wire.parser.buffered_bytes() == 0);
}

#[test]
fn a_flood_of_continuations_is_one_long_head() {
    let mut wire = opened();
    wire.data(&frame(HEADERS, END_STREAM, 1, &block("/1", &[])));
    for number in 0..100_000 {
        wire.data(&frame(CONTINUATION, 0, 1, &literals(&[("x-flood", &number.to_string())])));
    }
    // Its end is read, and what it has put into the table is known.
    let indexed = [&[0x40, 1, b'x', 1, b'y'][..], &[0x82, 0x84, 0x86]].concat();
    wire.data(&frame(CONTINUATION, END_HEADERS, 1, &indexed));
    wire.data(&frame(HEADERS, END_HEADERS, 3, &[0x82, 0x84, 0x86, 0xbe]));
    assert_eq!((wire.found.len(), wire.found[0].incomplete), (2, Some(Cause::Length)));
    assert_eq!(wire.found[1].head, "GET / HTTP/2\nx: y\n\n");
    assert_eq!((wire.ledger.oversized_heads, wire.ledger.requests), (1, 2));
    assert!(wire.most_memory < 200 << 10, "{}", wire.most_memory);
}

#[test]
fn what_follows_the_limit_of_a_head_is_left_out_however_it_comes() {
    // The target comes after too many fields.
    let payload = [&[0x9d; 25][..], &[0x82, 0x84, 0x86]].concat();
    let bytes = frame(HEADERS, END_HEADERS, 1, &payload);
    for step in [bytes.len(), 9, 1] {
        let mut wire = opened();
        wire.limits.fields = 20;
        assert_eq!(wire.pieces(&bytes, step).finish().found, [Found::reason("http2")], "{step}");
    }
}

#[test]
fn the_end_of_a_long_head_is_read_however_it_comes() {
    // Its last field is cut off.
    let payload = [&[0x82, 0x84, 0x86][..], &[0x9d; 25], b"\x40\x05x"].concat();
    let bytes = frame(HEADERS, END_HEADERS, 1, &payload);
    for step in [bytes.len(), 9, 1] {
        let mut wire = opened();
        wire.limits.fields = 20;
        let found = wire.pieces(&bytes, step).finish().found;
        assert_eq!((found.len(), found[0].incomplete), (2, Some(Cause::Length)), "{step}");
        assert_eq!(found[1], Found::reason("http2"), "{step}");
    }
}

#[test]
fn empty_frames_are_counted() {
    let mut wire = opened();
    wire.data(&frame(HEADERS, 0, 1, &block("/1", &[])));
    for _ in 0..10_000 {
        wire.data(&frame(CONTINUATION, 0, 1, b""));
    }
    wire.data(&frame(CONTINUATION, END_HEADERS, 1, b""));
    for _ in 0..10_000 {
        wire.data(&frame(DATA, 0, 1, b""));
    }
    wire.data(&frame(DATA, END_STREAM, 1, b""));
    assert_eq!((wire.found, wire.ledger.empty_frames), (vec![Found::whole(1, &head("/1"))], 20_000));
    assert!(wire.most_memory < 4 << 10, "{}", wire.most_memory);
}

#[test]
fn streams_that_are_reset_at_once_are_counted() {
    let mut wire = opened();
    for stream in 0..10_000 {
        wire.data(&request(2 * stream + 1, "/"));
        wire.data(&frame(RST_STREAM, 0, 2 * stream + 1, &[0, 0, 0, 8]));
    }
    assert_eq!((wire.ledger.requests, wire.ledger.reset_streams), (10_000, 10_000));
    assert!(wire.most_memory < 4 << 10, "{}", wire.most_memory);
}

#[test]
fn a_table_of_any_size_is_kept_up_to_a_limit() {
    let mut wire = opened();
    // 2^31.
    let mut first = vec![0x3f, 0xe1, 0xff, 0xff, 0xff, 0x07];
    first.extend(block("/1", &[]));
    wire.data(&frame(HEADERS, END_HEADERS, 1, &first));
    for stream in 1..2000 {
        let mut payload = block("/", &[]);
        payload.extend([0x40, 1, b'x', 100]);
        payload.extend([b'y'; 100]);
        wire.data(&frame(HEADERS, END_HEADERS, 2 * stream + 1, &payload));
    }
    assert_eq!((wire.ledger.large_tables, wire.ledger.requests), (1, 2000));
    assert!(wire.most_memory < 2 * MAX_TABLE_BYTES, "{}", wire.most_memory);
    // The client may refer to all of them, of which the oldest are unknown now.
    wire.data(&frame(HEADERS, END_HEADERS, 9999, &[0x82, 0x84, 0x86, 0xbe, 0xff, 0xbc, 0x0e]));
    let last = wire.found.last().unwrap();
    assert_eq!((last.unknown_fields, last.is_resynchronized), (1, false));
    assert_eq!(wire.ledger.unknown_fields, 1);
}

#[test]
fn small_references_to_a_large_entry_are_one_long_head() {
    let mut wire = opened();
    let mut payload = vec![0x82, 0x84, 0x86, 0x40, 1, b'x', 0x7f, 0x81, 0x1e];
    payload.extend([b'y'; 127 + 1 + (0x1e << 7)]);
    payload.extend([0xbe; 12_000]);
    wire.data(&frame(HEADERS, END_HEADERS, 1, &payload));
    assert_eq!((wire.found.len(), wire.ledger.oversized_heads), (1, 1));
    assert!(wire.most_memory < 200 << 10, "{}", wire.most_memory);
}

#[test]
fn strings_without_end_are_passed_over() {
    for name_is_long in [true, false] {
        let mut wire = opened();
        let mut payload = vec![0x82, 0x84, 0x86, 0x40];
        payload.extend(if name_is_long { &[][..] } else { b"\x01x" });
        // Nearly 2^31 bytes.
        payload.extend([0x7f, 0x80, 0xff, 0xff, 0xff, 0x07]);
        wire.data(&frame(HEADERS, 0, 1, &payload));
        for _ in 0..1000 {
            wire.data(&frame(CONTINUATION, 0, 1, &[b'a'; 16_384]));
        }
        assert!(wire.most_memory < 100 << 10, "{}", wire.most_memory);
        let wire = wire.finish();
        assert_eq!(wire.found[0].incomplete, Some(Cause::Finished));
        assert_eq!(wire.found[0].head, "GET / HTTP/2\n\n");
    }
}

#[test]
fn broken_header_blocks_end_the_connection() {
    let start = [0x82, 0x84, 0x86];
    for error in [
        // Wrong padding of a Huffman code, its end symbol, a number beyond 32 bits, no such entry, index 0, a cut field.
        &b"\x40\x01x\x81\x18"[..],
        b"\x40\x01x\x84\xff\xff\xff\xff",
        b"\x40\x7f\xff\xff\xff\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbe",
        b"\x80",
        b"\x40\x05x",
    ] {
        expect_broken(&frame(HEADERS, END_HEADERS, 1, &[&start[..], error].concat()), true);
    }
}

#[test]
fn frames_that_no_server_accepts_end_the_connection() {
    let begun = frame(HEADERS, 0, 1, &block("/1", &[]));
    for (frames, has_request) in [
        (frame(CONTINUATION, END_HEADERS, 1, b""), false),
        (frame(5, END_HEADERS, 1, b"\0\0\0\x02"), false),
        (frame(HEADERS, PADDED, 1, b"\x05abc"), false),
        (frame(HEADERS, PADDED | PRIORITY, 1, b"\x01abc"), false),
        ([&begun[..], &frame(DATA, 0, 1, b"x")].concat(), true),
        ([&begun[..], &frame(CONTINUATION, END_HEADERS, 3, b"")].concat(), true),
        ([&begun[..], &request(3, "/3")].concat(), true),
    ] {
        expect_broken(&frames, has_request);
    }
    let mut wire = Wire::new(true);
    wire.data(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\0");
    assert_eq!(wire.found, [Found::reason("http2")]);
}

#[test]
fn streams_of_a_server_are_marked_and_hide_nothing() {
    let mut wire = opened();
    wire.data(&[request(0, "/0"), request(1 << 30, "/even"), request(1, "/1")].concat());
    let marks: Vec<_> = wire.found.iter().map(|it| it.malformation).collect();
    assert_eq!(marks, [Some(Malformation::Stream), Some(Malformation::Stream), None]);
    assert_eq!(wire.ledger.possibly_unread_requests, 3);
}

#[test]
fn what_is_kept_is_given_up_if_memory_is_short() {
    let mut wire = opened();
    let mut payload = block("/1", &[]);
    payload.extend(b"\x40\x01x\x01y");
    wire.data(&frame(HEADERS, END_HEADERS, 1, &payload));
    assert!(wire.parser.buffered_bytes() > 0);
    wire.step(|parser, cx| parser.give_up(Cause::Limit, cx));
    assert!(wire.parser.buffered_bytes() == 0);
    wire.data(&frame(HEADERS, END_HEADERS, 3, &[0x82, 0x84, 0x86, 0xbe]));
    let expected = Found { unknown_fields: 1, ..Found::whole(3, "GET / HTTP/2\n(unknown): \n\n") };
    assert_eq!(wire.found[1], expected);
}
