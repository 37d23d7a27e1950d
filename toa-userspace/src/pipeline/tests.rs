mod bypass;
mod ended;
mod plaintext;
mod rules;
mod traffic;

use std::{collections::HashMap, fmt::Write};

use proptest::{prelude::*, sample::Index};
use toa_common::{
    attribution::{Attribution, LearnedFrom},
    wire::tcp::{ACK, FIN, RST, SYN},
};

use super::*;
use crate::{
    event::Event,
    http::NotHttp,
    pipeline::connection::Connection,
    segment::{
        checksum::Checksum,
        details::Details,
        tests::{sample_bytes, segment},
    },
};

/// Records events.
#[derive(Default)]
struct RecordingSink {
    /// The raw heads of complete requests, by generation.
    heads: HashMap<u64, Vec<Vec<u8>>>,
    incomplete: usize,
    opened: usize,
    closed: Vec<Closed>,
    gaps: u64,
    conflicting: u64,
    not_http: Vec<NotHttp>,
    client: Option<ClientAddress>,
    /// The interface with each event.
    interfaces: Vec<u32>,
}

impl Sink for RecordingSink {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        self.client = connection.client();
        self.interfaces.push(connection.interface_index);
        match event {
            Event::Request(request) if request.incomplete.is_some() => self.incomplete += 1,
            Event::Request(request) => {
                self.heads.entry(connection.generation).or_default().push(request.raw().to_vec());
            }
            Event::Opened => self.opened += 1,
            Event::Gap { bytes } => self.gaps += bytes,
            Event::Conflict { bytes } => self.conflicting += bytes,
            Event::NotHttp { reason, .. } => self.not_http.push(*reason),
            Event::Proxy(_) | Event::Tls(_) => {}
            Event::Closed(reason) => self.closed.push(*reason),
        }
    }
}

fn pipeline() -> (Pipeline, RecordingSink) {
    (Pipeline::new(Limits::default()), RecordingSink::default())
}

fn check<B: BypassTable>(pipeline: &Pipeline<B>) {
    let Ledger { stream, plaintext, http, .. } = pipeline.ledger();
    for stream in [stream, plaintext] {
        let sum = stream.used_bytes + stream.duplicate_bytes + stream.conflicting_bytes;
        let sum = sum + stream.discarded_bytes() + stream.held_bytes;
        assert_eq!(sum, stream.delivered_bytes, "{stream:?}");
    }
    let read = [http.head_bytes, http.body_bytes, http.resync_bytes, http.opaque_bytes, http.unwanted_bytes];
    let sum = read.iter().sum::<u64>() + http.buffered_bytes;
    assert_eq!(sum, stream.used_bytes + plaintext.used_bytes, "{http:?}");
    let waiting: usize = pipeline.open.iter().map(|(_, entry)| entry.memory()).sum();
    assert_eq!(pipeline.memory, waiting);
    if pipeline.connections() == 0 {
        assert_eq!((stream.held_bytes, http.buffered_bytes, pipeline.memory), (0, 0, 0));
    }
}

/// A request that is also found by searching: HTTP/1.0 needs no Host field.
const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

#[test]
fn a_sample_becomes_a_request() {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.sample(&sample_bytes(GET), &mut kept).unwrap();
    assert!(pipeline.sample(b"nonsense", &mut kept).is_err());
    assert_eq!(kept.heads[&77], [GET]);
    assert_eq!((pipeline.ledger().undecodable_samples, pipeline.ledger().connections), (1, 1));
    pipeline.finish(&mut kept);
    assert_eq!((kept.opened, kept.closed), (1, vec![Closed::Finished]));
}

#[test]
fn a_client_that_only_a_discarded_segment_names_is_doubtful() {
    let named = Attribution { learned_from: LearnedFrom::Data as u8, toa_length: 8, ..Attribution::EMPTY };
    let wrong = |segment: Segment<'static>| Segment {
        details: Details { checksum: Checksum::Refused, ..segment.details },
        ..segment
    };
    let of = |attribution| Segment { attribution, flags: SYN, ..segment(1, 0, b"") };
    let is_conflicting = |segments: &[Segment<'_>]| {
        let (mut pipeline, mut kept) = pipeline();
        for segment in segments {
            pipeline.segment(segment, &mut kept);
        }
        let (_, entry) = pipeline.open.peek_mru().unwrap();
        entry.connection.attribution.is_conflicting()
    };
    assert!(!is_conflicting(&[of(named)]));
    assert!(is_conflicting(&[wrong(of(named)), of(named)]));
    // It was named before.
    assert!(!is_conflicting(&[of(named), wrong(of(named)), of(named)]));
    // Another client than before.
    let other = Attribution { port_be: 1, ..named };
    assert!(is_conflicting(&[of(named), wrong(of(other)), of(other)]));
    let by_syn = Attribution { learned_from: LearnedFrom::Syn as u8, ..named };
    assert!(!is_conflicting(&[wrong(of(by_syn)), of(by_syn)]));
}

#[test]
fn the_start_of_a_joined_stream_waits_for_a_tick() {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.segment(&segment(1, 118, b"GET /2 HTTP/1.0\r\n\r\n"), &mut kept);
    pipeline.segment(&segment(1, 100, GET), &mut kept);
    pipeline.tick(1_000_000, &mut kept);
    assert!(kept.heads.is_empty());
    pipeline.tick(2_000_000, &mut kept);
    assert_eq!(kept.heads[&1], [GET, b"GET /2 HTTP/1.0\r\n\r\n"]);
}

#[test]
fn silent_connections_are_forgotten_in_their_order() {
    let (mut pipeline, mut kept) = pipeline();
    for generation in 0..10 {
        let time_ns = generation * 1_000_000_000;
        pipeline.segment(&Segment { flags: SYN, time_ns, ..segment(generation, 0, b"") }, &mut kept);
    }
    pipeline.segment(&Segment { time_ns: 20_000_000_000, ..segment(0, 1, GET) }, &mut kept);
    pipeline.tick(Limits::default().idle_ns + 5_000_000_000, &mut kept);
    assert_eq!((pipeline.connections(), pipeline.ledger().connections_idle), (5, 5));
    pipeline.segment(&segment(0, 19, GET), &mut kept);
    assert_eq!(kept.heads[&0].len(), 2);
}

#[test]
fn too_many_connections_evict_the_most_silent() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let (mut pipeline, mut kept) = (Pipeline::new(limits), RecordingSink::default());
    for generation in 0..100 {
        pipeline.segment(&Segment { flags: SYN, ..segment(generation, 0, b"GET") }, &mut kept);
        pipeline.segment(&segment(generation, 10, b"x"), &mut kept);
        check(&pipeline);
    }
    assert_eq!((pipeline.connections(), pipeline.ledger().connections_evicted), (3, 97));
    assert!(pipeline.timers.len() <= 6, "{} timers", pipeline.timers.len());
}

#[test]
fn all_connections_together_wait_for_so_much_only() {
    let limits = Limits { total_bytes: 10_000, ..Limits::default() };
    let (mut pipeline, mut kept) = (Pipeline::new(limits), RecordingSink::default());
    for generation in 0..100 {
        pipeline.segment(&Segment { flags: SYN, ..segment(generation, 0, GET) }, &mut kept);
        pipeline.segment(&segment(generation, 19, b"GET /unfinished HTTP/1.1\r\nx: "), &mut kept);
        pipeline.segment(&segment(generation, 60, &[b'x'; 700]), &mut kept);
        check(&pipeline);
        assert!(pipeline.memory <= 10_000);
    }
    assert!(pipeline.ledger().total_bytes_limits > 80);
    pipeline.finish(&mut kept);
    check(&pipeline);
}

#[test]
fn a_hole_is_given_up_soon_only_if_the_rings_lost_packets() {
    for (is_lost, seconds) in [(true, 2), (false, 60)] {
        let (mut pipeline, mut kept) = pipeline();
        pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"GET /1 HTTP/1.1\r\n") }, &mut kept);
        pipeline.segment(&segment(1, 118, GET), &mut kept);
        if is_lost {
            pipeline.lost(1);
        }
        for millis in (0..seconds * 1000).step_by(100) {
            pipeline.tick(millis * 1_000_000, &mut kept);
        }
        assert_eq!((kept.gaps, kept.incomplete), (0, 0));
        pipeline.tick(seconds * 1_000_000_000, &mut kept);
        assert_eq!((kept.gaps, kept.incomplete), (100, 1));
        assert_eq!(kept.heads[&1], [GET]);
    }
}

#[test]
fn a_reset_closes() {
    let (mut pipeline, mut kept) = pipeline();
    pipeline.segment(&Segment { flags: SYN, ..segment(1, 0, b"\xffa") }, &mut kept);
    pipeline.segment(&Segment { flags: RST, ..segment(1, 3, b"") }, &mut kept);
    assert_eq!((kept.closed, kept.not_http), (vec![Closed::Rst], vec![NotHttp::Other]));
}

/// Generates a request: its head, and its head with its body. The body does not look like a request line.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]);
    let fields = prop::collection::vec("[a-z]{1,8}: [ -~]{0,40}", 0..6);
    (
        method,
        "/[a-z]{0,30}",
        fields,
        0_u8..3,
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..4),
    )
        .prop_map(|(method, target, fields, kind, chunks)| {
            let mut head = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n");
            for field in fields {
                write!(head, "x-{field}\r\n").unwrap();
            }
            let body: Vec<u8> = chunks.concat().iter().map(|byte| byte | 0x80).collect();
            let mut bytes = Vec::new();
            match kind {
                0 => {}
                1 => {
                    write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
                    bytes.extend(&body);
                }
                _ => {
                    head.push_str("Transfer-Encoding: chunked\r\n");
                    for chunk in body.chunks(25) {
                        bytes.extend(format!("{:x};ext\r\n", chunk.len()).as_bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    bytes.extend(b"0\r\nx-trailer: 1\r\n\r\n");
                }
            }
            head.push_str("\r\n");
            let whole = [head.as_bytes(), &bytes].concat();
            (head.into_bytes(), whole)
        })
}

/// How a stream is sent: sizes of its segments, and transmission faults.
#[derive(Clone, Debug)]
struct Sending {
    sizes: Vec<usize>,
    /// Retransmissions with other segment limits: position, length, and after how many segments.
    again: Vec<(Index, usize, Index)>,
    swaps: Vec<(Index, Index)>,
    lost: Vec<Index>,
    syn: bool,
    isn: u32,
}

fn sending(losses: usize) -> impl Strategy<Value = Sending> {
    (
        prop::collection::vec(prop_oneof![1_usize..4, 1_usize..200], 1..40),
        prop::collection::vec((any::<Index>(), 1_usize..100, any::<Index>()), 0..8),
        prop::collection::vec((any::<Index>(), any::<Index>()), 0..8),
        prop::collection::vec(any::<Index>(), 0..=losses),
        any::<bool>(),
        prop_oneof![any::<u32>(), u32::MAX - 500..=u32::MAX],
    )
        .prop_map(|(sizes, again, swaps, lost, syn, isn)| Sending {
            sizes,
            again,
            swaps,
            lost,
            syn,
            isn,
        })
}

/// Sends `stream` through a pipeline. Returns the pipeline and its results.
fn send(stream: &[u8], sending: &Sending) -> (Pipeline, RecordingSink) {
    let (mut pipeline, mut kept) = pipeline();
    let mut segments = Vec::new();
    let mut at = 0;
    for size in sending.sizes.iter().cycle() {
        let end = (at + size).min(stream.len());
        segments.push(at..end);
        at = end;
        if at == stream.len() {
            break;
        }
    }
    for (place, len, behind) in &sending.again {
        let at = place.index(stream.len());
        segments.insert(behind.index(segments.len()), at..(at + len).min(stream.len()));
    }
    for (a, b) in &sending.swaps {
        let len = segments.len();
        segments.swap(a.index(len), b.index(len));
    }
    for lost in &sending.lost {
        let len = segments.len();
        if len > 1 {
            segments.remove(lost.index(len));
        }
    }
    let first = sending.isn.wrapping_add(1);
    let seq = |at: usize| first.wrapping_add(u32::try_from(at).unwrap());
    if sending.syn {
        pipeline.segment(&Segment { flags: SYN, ..segment(1, sending.isn, b"") }, &mut kept);
    }
    for range in segments {
        pipeline.segment(&segment(1, seq(range.start), &stream[range]), &mut kept);
        check(&pipeline);
    }
    pipeline.segment(&Segment { flags: FIN | ACK, ..segment(1, seq(stream.len()), b"") }, &mut kept);
    pipeline.tick(60_000_000, &mut kept);
    check(&pipeline);
    (pipeline, kept)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_in_any_order_is_read_as_it_was_sent(
        requests in prop::collection::vec(request(), 1..8),
        sending in sending(0),
    ) {
        let stream: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let (pipeline, kept) = send(&stream, &sending);
        let heads: Vec<_> = requests.into_iter().map(|(head, _)| head).collect();
        prop_assert_eq!(&kept.heads[&1], &heads);
        prop_assert_eq!((kept.incomplete, kept.gaps), (0, 0));
        prop_assert_eq!(kept.closed, [Closed::Fin]);
        prop_assert_eq!(pipeline.ledger().stream.used_bytes, stream.len() as u64);
    }

    #[test]
    fn what_is_said_to_be_complete_is_right_whatever_is_lost(
        requests in prop::collection::vec(request(), 1..8),
        sending in sending(6),
    ) {
        let stream: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let (mut pipeline, mut kept) = send(&stream, &sending);
        pipeline.lost(0);
        pipeline.tick(10_000_000_000, &mut kept);
        check(&pipeline);
        prop_assert_eq!(&kept.closed, &[Closed::Fin]);
        // In order, possibly with some missing.
        let mut sent = requests.iter();
        for head in kept.heads.get(&1).into_iter().flatten() {
            prop_assert!(sent.any(|(other, _)| other == head), "{}", head.escape_ascii());
        }
        let read = kept.heads.get(&1).map_or(0, Vec::len) + kept.incomplete;
        prop_assert!(read <= requests.len());
        prop_assert!(kept.gaps > 0 || read == requests.len() || !sending.syn);
    }

    #[test]
    fn whatever_comes_is_bounded_and_counted(
        steps in prop::collection::vec(
            (0_u64..4, 0_u32..60, 0_usize..FRAGMENTS.len(), 0_u32..9, 0_u8..16, 0_u64..4_000_000_000),
            0..150,
        ),
    ) {
        let mut limits = Limits::default();
        (limits.connections, limits.ended_connections, limits.ranges) = (3, 2, 3);
        (limits.connection_bytes, limits.total_bytes, limits.head_bytes) = (600, 900, 40);
        let (mut pipeline, mut kept) = (Pipeline::new(limits), RecordingSink::default());
        let mut now_ns = 0;
        for (generation, seq, fragment, cut, flags, pause_ns) in steps {
            let payload = FRAGMENTS[fragment];
            let flags = [0, 0, 0, SYN, FIN, RST, SYN | FIN, 0][usize::from(flags) % 8] | ACK;
            let payload_len = u32::try_from(payload.len()).unwrap() + cut.saturating_sub(6);
            let seq = if seq == 59 { 1 << 31 } else { seq.wrapping_sub(20) };
            let segment = segment(generation, seq, payload);
            pipeline.segment(&Segment { flags, payload_len, time_ns: now_ns, ..segment }, &mut kept);
            check(&pipeline);
            prop_assert!(pipeline.connections() <= 3 && pipeline.ended.len() <= 2);
            prop_assert!(pipeline.memory <= 900 && pipeline.timers.len() <= 7);
            if pause_ns < 2_500_000_000 {
                now_ns += pause_ns;
                pipeline.tick(now_ns, &mut kept);
                check(&pipeline);
            }
        }
        pipeline.finish(&mut kept);
        check(&pipeline);
        prop_assert_eq!(kept.closed.len(), kept.opened);
    }
}

const FRAGMENTS: [&[u8]; 9] = [
    b"",
    b"GET /1 HTTP/1.1\r\n",
    b"a: b\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n",
    b"\r\n",
    b"transfer-encoding: chunked\r\n\r\n5\r\n",
    b"\x16\x03\x01",
    b"PUT",
    b"\0\n0\r\n",
];
