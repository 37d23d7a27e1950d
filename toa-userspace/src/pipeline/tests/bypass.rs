//! Bypasses as the kernel gets them: exactly as large as the bytes that are not needed, in time, and cleared.

use toa_common::{
    body::{Position, states},
    bypass::Bypass,
    seq::Seq,
};

use super::{traffic::Kernel, *};
use crate::segment::LeftOut;

/// A preface, and a CONTINUATION of nothing.
const BROKEN_HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x09\0\0\0\0\x01";
const POST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n";

fn obeying(limits: Limits) -> (Pipeline<Kernel>, RecordingSink) {
    let kernel = Kernel { obeys: true, ..Kernel::default() };
    (Pipeline::with_bypass(limits, 0, kernel), RecordingSink::default())
}

/// Hands in a packet unless the kernel bypasses it. Returns how many records the packet left.
fn pass(pipeline: &mut Pipeline<Kernel>, kept: &mut RecordingSink, segment: &Segment<'_>) -> u64 {
    let is_copied = !pipeline.bypass.covers(segment);
    if is_copied {
        pipeline.segment(segment, kept);
        check(pipeline);
    }
    is_copied.into()
}

#[test]
fn a_bypass_is_as_long_as_the_body() {
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    let from = 1 + u32::try_from(POST.len()).unwrap();
    assert_eq!(pipeline.bypass.bypass, Some(Bypass::new(1, Seq(from), 1_000_000)));
    pipeline.segment(&segment(1, from + 1_000_000, GET), &mut kept);
    assert_eq!((pipeline.bypass.bypass, pipeline.bypass.set, pipeline.bypass.cleared), (None, 1, 1));
    assert_eq!(kept.heads[&1], [POST, GET]);
    assert_eq!(pipeline.ledger().stream.bypassed_bytes, 1_000_000);
    assert_eq!((pipeline.ledger().bypasses, kept.gaps), (1, 0));
}

#[test]
fn what_a_large_data_frame_contains_is_bypassed() {
    let (mut pipeline, mut kept) = obeying(Limits::default());
    let headers = b"\0\0\x0c\x01\x04\0\0\0\x01\x83\x84\x86\x01\x07example";
    // 1 MiB.
    let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &headers[..], b"\x10\0\0\0\0\0\0\0\x01"].concat();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, &start) }, &mut kept);
    let from = 1 + u32::try_from(start.len()).unwrap();
    assert_eq!(pipeline.bypass.bypass, Some(Bypass::new(1, Seq(from), 1 << 20)));
    pipeline.segment(
        &segment(1, from + (1 << 20), b"\0\0\x0c\x01\x05\0\0\0\x03\x82\x84\x86\x01\x07example"),
        &mut kept,
    );
    assert_eq!((pipeline.bypass.bypass, kept.gaps), (None, 0));
    let heads = [&b"POST / HTTP/2\r\nhost: example\r\n\r\n"[..], b"GET / HTTP/2\r\nhost: example\r\n\r\n"];
    assert_eq!(kept.heads[&1], heads);
}

#[test]
fn a_small_body_is_not_worth_a_bypass() {
    let (mut pipeline, mut kept) = obeying(Limits::default());
    let head = b"POST / HTTP/1.1\r\ncontent-length: 65535\r\n\r\n";
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, head) }, &mut kept);
    assert_eq!(pipeline.bypass.set, 0);
}

#[test]
fn a_kernel_that_refuses_changes_nothing() {
    let (mut pipeline, mut kept) =
        (Pipeline::with_bypass(Limits::default(), 0, Kernel::default()), RecordingSink::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    let end = 1 + u32::try_from(POST.len()).unwrap() + 1_000_000;
    pipeline.segment(&segment(1, end, GET), &mut kept);
    pipeline.lost(0);
    pipeline.tick(3_000_000_000, &mut kept);
    assert_eq!((kept.gaps, pipeline.bypass.cleared), (1_000_000, 0));
    assert_eq!(kept.heads[&1].len(), 2);
}

#[test]
fn any_size_costs_a_few_records() {
    // A body of 5 GiB has an end, after the sequence numbers have wrapped. Broken HTTP/2 has none. An unknown protocol may turn
    // into HTTP, so samples of it are read.
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", 5_u64 << 30).into_bytes();
    for (first, most, is_endless) in
        [(&head[..], 10, false), (BROKEN_HTTP_2, 10, true), (b"SSH-2.0-x\r\n", 200, true)]
    {
        let (mut pipeline, mut kept) = obeying(Limits::default());
        pipeline.segment(&Segment { flags: SYN, ..segment(1, u32::MAX - 1, first) }, &mut kept);
        let mut seq = u32::MAX.wrapping_add(u32::try_from(first.len()).unwrap());
        let payload = vec![b'\n'; 1 << 16];
        let mut records = 0;
        for _ in 0..(5_u64 << 30) / (1 << 16) {
            records += pass(&mut pipeline, &mut kept, &segment(1, seq, &payload));
            seq = seq.wrapping_add(1 << 16);
        }
        pass(&mut pipeline, &mut kept, &segment(1, seq, GET));
        assert!(records < most, "{records} records");
        let ledger = pipeline.ledger();
        assert_eq!((ledger.stream.gaps, ledger.stream.out_of_window_bytes), (0, 0));
        if !is_endless {
            assert_eq!(kept.heads[&1], [&head[..], GET]);
            assert_eq!(pipeline.bypass.bypass, None);
            // No bypass is left that could apply when the sequence numbers repeat.
            seq = seq.wrapping_add(u32::try_from(GET.len()).unwrap());
            for _ in 0..(5_u64 << 30) / (1 << 26) {
                assert_eq!(pass(&mut pipeline, &mut kept, &segment(1, seq, GET)), 1);
                seq = seq.wrapping_add(1 << 26);
            }
        }
    }
}

/// Returns a segment whose payload ends where the kernel left out the rest of a packet of `len` bytes. It has read the body
/// up to `end`, and is at `position` there.
fn shortened(seq: u32, head: &[u8], len: u32, end: u32, position: Position) -> Segment<'_> {
    let left_out = LeftOut { packet_end: Seq(seq + len), end: Seq(end), position };
    Segment { left_out: Some(left_out), ..segment(1, seq, head) }
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
const BODY: u32 = 1 + CHUNKED.len() as u32;

#[test]
fn what_the_kernel_has_read_of_a_body_is_no_gap() {
    let (mut pipeline, mut kept) = obeying(Limits::default());
    let body = 1 + u32::try_from(POST.len()).unwrap();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    pipeline.segment(&shortened(1, POST, 60_000, body + 1_000_000, Position::LENGTH), &mut kept);
    assert_eq!(pipeline.ledger().stream.bypassed_bytes, 60_001 - u64::from(body));
    pipeline.segment(&segment(1, body + 1_000_000, GET), &mut kept);
    assert_eq!((kept.gaps, pipeline.ledger().stream.bypassed_bytes, pipeline.bypass.set), (0, 1_000_000, 0));
    assert_eq!(kept.heads[&1], [POST, GET]);

    // In the middle of a chunk's size, then of the last line, then at the end.
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    let size = Position { size: 2, digits: 1, ..Position::CHUNK };
    let last = Position { state: states::TRAILER_CR, ..Position::END };
    pipeline.bypass.bypass = Some(Bypass::new(1, Seq(120_001), 0));
    pipeline.segment(&shortened(1, CHUNKED, 60_000, BODY + 70_000, size), &mut kept);
    pipeline.segment(&shortened(60_001, b"", 60_000, 120_001, last), &mut kept);
    assert_eq!(pipeline.bypass.cleared, 0, "the kernel goes on there");
    pipeline.segment(&segment(1, 120_001, b"\n"), &mut kept);
    pipeline.segment(&segment(1, 120_002, GET), &mut kept);
    assert_eq!((kept.gaps, pipeline.ledger().http.resyncs), (0, 0));
    assert_eq!(kept.heads[&1], [CHUNKED, GET]);

    // Copied whole from some place on, because there is something else than plain chunks.
    for rest in [&b"2;x=y\r\nab\r\n0\r\n\r\n"[..], b"2\r\nab\r\n0\r\na: b\r\n\r\n"] {
        let (mut pipeline, mut kept) = obeying(Limits::default());
        pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
        pipeline.segment(&shortened(1, CHUNKED, 60_000, BODY + 70_000, Position::CHUNK), &mut kept);
        let bytes = [&vec![b'x'; usize::try_from(BODY + 70_000 - 60_001).unwrap()], rest, GET].concat();
        pipeline.segment(&segment(1, 60_001, &bytes), &mut kept);
        assert_eq!((kept.gaps, pipeline.ledger().http.resyncs), (0, 0));
        assert_eq!(kept.heads[&1], [CHUNKED, GET]);
    }
}

#[test]
fn a_body_that_the_kernel_sees_elsewhere_than_the_parser_is_a_gap() {
    // A body that contains what looks like a head.
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    let inner = u32::try_from(POST.len()).unwrap() + 1;
    pipeline.bypass.bypass = Some(Bypass::new(1, Seq(inner + 60_000), 0));
    pipeline.segment(&shortened(inner, POST, 1000, inner + 60_000, Position::LENGTH), &mut kept);
    assert_eq!(pipeline.bypass.bypass, None, "the kernel's window is cleared");
    assert_eq!(kept.heads[&1], [POST]);

    // A request whose framing the kernel misunderstands.
    let odd = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding : chunked\r\n\r\n";
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"") }, &mut kept);
    let end = 1 + u32::try_from(odd.len()).unwrap();
    pipeline.bypass.bypass = Some(Bypass::new(1, Seq(end + 5000), 0));
    pipeline.segment(&shortened(1, odd, 2000, end + 5000, Position::LENGTH), &mut kept);
    assert_eq!(pipeline.bypass.bypass, None);
    pipeline.segment(&segment(1, end + 5000, GET), &mut kept);
    pipeline.lost(0);
    pipeline.tick(3_000_000_000, &mut kept);
    assert_eq!((kept.gaps, pipeline.ledger().http.resynchronized_requests), (5000, 1));
    assert_eq!(kept.heads[&1].len(), 2);
}

#[test]
fn a_window_is_renewed_before_it_is_passed() {
    // Every packet is copied, as if the bypass came late.
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, BROKEN_HTTP_2) }, &mut kept);
    let first = 1 + u32::try_from(BROKEN_HTTP_2.len()).unwrap();
    let payload = vec![b'x'; 1 << 20];
    for number in 0..600 {
        pipeline.segment(&segment(1, first + (number << 20), &payload), &mut kept);
    }
    assert_eq!((pipeline.bypass.set, pipeline.bypass.cleared), (2, 0));
    assert!(pipeline.bypass.bypass.unwrap().until > 3 << 29);
}

#[test]
fn silence_clears_the_bypass_before_it_ends_the_connection() {
    let idle_ns = Limits::default().idle_ns;
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    let body = 1 + u32::try_from(POST.len()).unwrap();
    assert_eq!(pass(&mut pipeline, &mut kept, &segment(1, body, b"skipped")), 0);
    pipeline.tick(idle_ns, &mut kept);
    assert_eq!((pipeline.connections(), pipeline.bypass.bypass, pipeline.bypass.cleared), (1, None, 1));
    // The connection is alive, and the stream knows what was bypassed. From here on, it is bypassed again.
    let segment_of = |at, time_ns| Segment { time_ns, ..segment(1, at, b"alive") };
    assert_eq!(pass(&mut pipeline, &mut kept, &segment_of(body + 1000, idle_ns + 1)), 1);
    assert_eq!((pipeline.ledger().stream.bypassed_bytes, pipeline.bypass.set), (1000, 2));
    assert_eq!(pass(&mut pipeline, &mut kept, &segment_of(body + 2000, idle_ns + 1)), 0);
    pass(&mut pipeline, &mut kept, &Segment { time_ns: idle_ns + 1, ..segment(1, body + 1_000_000, GET) });
    assert_eq!((kept.heads[&1].len(), kept.gaps), (2, 0));
    // A connection that is not alive.
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    pipeline.tick(idle_ns, &mut kept);
    pipeline.tick(2 * idle_ns - 1, &mut kept);
    assert_eq!(pipeline.connections(), 1);
    pipeline.tick(2 * idle_ns, &mut kept);
    assert_eq!((kept.closed, pipeline.bypass.cleared), (vec![Closed::Idle], 1));
}

#[test]
fn a_bypass_ends_with_its_connection() {
    for flags in [FIN | ACK, RST] {
        let (mut pipeline, mut kept) = obeying(Limits::default());
        pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
        let body = 1 + u32::try_from(POST.len()).unwrap();
        assert_eq!(pass(&mut pipeline, &mut kept, &Segment { flags, ..segment(1, body + 500, b"") }), 1);
        assert_eq!((pipeline.bypass.bypass, kept.closed.len(), kept.gaps), (None, 1, 0));
    }
    let limits = Limits { connections: 1, ..Limits::default() };
    let (mut pipeline, mut kept) = obeying(limits);
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    pipeline.segment(&Segment { flags: SYN, ..segment(2, 0, GET) }, &mut kept);
    assert_eq!((pipeline.bypass.bypass, kept.closed), (None, vec![Closed::Evicted]));
}

#[test]
fn the_same_addresses_used_again_at_once_are_another_connection() {
    let (mut pipeline, mut kept) = obeying(Limits::default());
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, POST) }, &mut kept);
    let body = 1 + u32::try_from(POST.len()).unwrap();
    // The bypass is still set, and the next connection begins in the middle of its window.
    assert_eq!(pass(&mut pipeline, &mut kept, &Segment { flags: SYN, ..segment(2, body + 100, b"") }), 1);
    assert_eq!(pass(&mut pipeline, &mut kept, &segment(2, body + 101, POST)), 1);
    assert_eq!(pipeline.bypass.bypass.map(|bypass| bypass.generation), Some(2));
    // The first connection is given up later, without clearing the bypass of the second.
    pipeline.finish(&mut kept);
    assert_eq!(kept.heads.len(), 2);
}
