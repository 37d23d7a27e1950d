//! Memory stays bounded whatever user space has to process. Each test is one kind of flood; the last one
//! combines all of them in a capture.

use toa_common::{
    config::Config,
    wire::tcp::{ACK, SYN},
};
use toa_packets::{builder::PacketBuilder, capture_file::PcapFile, segment::segment};
use toa_userspace::{
    capture::{Next, Reader, classifier::Selection, replay::Replay},
    event::{Closed, Event},
    limits::Limits,
    pipeline::{Pipeline, Sink, connection::Connection},
};

/// Counts events.
#[derive(Default)]
struct Counts {
    opened: u64,
    evicted: u64,
    requests: u64,
}

impl Sink for Counts {
    fn event(&mut self, _: &Connection, event: &Event<'_>) {
        match event {
            Event::Opened => self.opened += 1,
            Event::Closed(Closed::Evicted) => self.evicted += 1,
            Event::Request(_) => self.requests += 1,
            _ => {}
        }
    }
}

fn pipeline() -> (Pipeline, Counts) {
    (Pipeline::new(Limits::default()), Counts::default())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: api.example\r\n\r\n";

#[test]
fn a_flood_of_syns_evicts_the_oldest() {
    let (mut pipeline, mut counts) = pipeline();
    for connection in 0..200_000 {
        pipeline.segment(&segment(connection, 0, SYN, b""), &mut counts);
    }
    let limit = Limits::default().connections;
    assert_eq!(pipeline.connections(), limit);
    assert_eq!((counts.opened, counts.evicted), (200_000, 200_000 - limit as u64));
    assert_eq!(pipeline.ledger().connections_evicted, counts.evicted);
}

#[test]
fn a_hundred_thousand_connections_that_never_end_are_forgotten() {
    let (mut pipeline, mut counts) = pipeline();
    for connection in 0..100_000 {
        pipeline.segment(&segment(connection, 0, SYN, GET), &mut counts);
    }
    assert_eq!(counts.requests, 100_000);
    pipeline.tick(1 + Limits::default().idle_ns, &mut counts);
    assert_eq!(pipeline.connections(), 0);
    let ledger = pipeline.ledger();
    assert_eq!(ledger.connections_idle + ledger.connections_evicted, 100_000);
}

#[test]
fn an_endless_head_is_given_up() {
    let (mut pipeline, mut counts) = pipeline();
    pipeline.segment(&segment(1, 0, SYN, b"GET / HTTP/1.1\r\nx: "), &mut counts);
    let mut seq = 20_u32;
    for _ in 0..1000 {
        pipeline.segment(&segment(1, seq, ACK, &[b'a'; 1448]), &mut counts);
        seq += 1448;
        assert!(pipeline.ledger().http.buffered_bytes <= Limits::default().head_bytes as u64);
    }
    assert_eq!((pipeline.ledger().http.oversized_heads, counts.requests), (1, 1));
    pipeline.segment(&segment(1, seq, ACK, b"\r\n\r\n"), &mut counts);
    pipeline.segment(&segment(1, seq + 4, ACK, GET), &mut counts);
    assert_eq!(counts.requests, 2);
}

#[test]
fn an_endless_chunk_line_is_given_up() {
    let head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;";
    for first in [&head[..], &[&head[..head.len() - 2], b"0\r\nx"].concat()] {
        let (mut pipeline, mut counts) = pipeline();
        pipeline.segment(&segment(1, 0, SYN, first), &mut counts);
        let mut seq = 1 + u32::try_from(first.len()).expect("a short head");
        for _ in 0..100 {
            pipeline.segment(&segment(1, seq, ACK, &[b'a'; 1448]), &mut counts);
            seq += 1448;
        }
        pipeline.segment(&segment(1, seq, ACK, GET), &mut counts);
        let http = &pipeline.ledger().http;
        assert_eq!((http.resyncs, counts.requests, http.buffered_bytes), (1, 2, 0));
    }
}

#[test]
fn single_bytes_behind_a_hole_are_bounded() {
    let limits = Limits::default();
    for (step, what) in [(2, "ranges"), (1, "bytes")] {
        let (mut pipeline, mut counts) = pipeline();
        pipeline.segment(&segment(1, 0, SYN, b""), &mut counts);
        for number in 0..100_000 {
            pipeline.segment(&segment(1, 1000 + number * step, ACK, b"x"), &mut counts);
            assert!(pipeline.ledger().stream.held_bytes * 128 <= limits.connection_bytes as u64);
        }
        let stream = &pipeline.ledger().stream;
        let hit = if step == 2 { stream.range_limits } else { stream.connection_bytes_limits };
        assert!(hit > 0, "{what}: {stream:?}");
    }
}

#[test]
fn all_connections_together_wait_for_no_more_than_the_limit() {
    let limits = Limits::default();
    let (mut pipeline, mut counts) = pipeline();
    let payload = vec![b'x'; 60_000];
    for connection in 0..10_000 {
        pipeline.segment(&segment(connection, 0, SYN, b""), &mut counts);
        pipeline.segment(&segment(connection, 1000, ACK, &payload), &mut counts);
        assert!(pipeline.ledger().stream.held_bytes <= limits.total_bytes as u64);
    }
    assert!(pipeline.ledger().total_bytes_limits > 0);
}

#[test]
fn floods_in_a_capture_hide_nobody() -> anyhow::Result<()> {
    let packet = |number: u32, flags, seq, payload: &[u8]| {
        let [_, a, b, c] = (number / 50_000).to_be_bytes();
        let port = u16::try_from(10_000 + number % 50_000).unwrap_or_default();
        let source = ([10, 8 + a, b, c], port).into();
        PacketBuilder::new(source, ([10, 9, 0, 2], 80).into())
            .flags(flags)
            .numbers(seq, 1)
            .payload(payload)
            .build()
    };
    let mut file = PcapFile::new(Vec::new())?;
    for number in 0..100_000 {
        file.write(&packet(number, SYN, 0, b""))?;
        // Without it, there is no connection.
        file.write(&packet(number, ACK, 1, b"GET"))?;
    }
    let [head, bytes, good] = [100_000, 100_001, 100_002];
    for number in [head, bytes, good] {
        file.write(&packet(number, SYN, 0, b""))?;
    }
    file.write(&packet(head, ACK, 1, b"GET / HTTP/1.1\r\nx: "))?;
    for number in 0..1000 {
        file.write(&packet(head, ACK, 20 + 1400 * number, &[b'a'; 1400]))?;
        file.write(&packet(bytes, ACK, 1000 + 2 * number, b"x"))?;
    }
    file.write(&packet(good, ACK, 1, GET))?;
    let file = file.finish()?;

    let selection = Selection {
        config: Config::DEFAULT.following_any(),
        rules: Vec::new(),
        balancers: Vec::new(),
        max_flows: 65_536,
    };
    let (mut replay, mut counts) = (Replay::new(selection, Limits::default()), Counts::default());
    let (mut reader, mut input) = (Reader::default(), file.as_slice());
    loop {
        if let Next::Packet(packet) = reader.next_packet()? {
            replay.packet(packet, &mut counts);
        } else if reader.fill(&mut input)? == 0 {
            break;
        }
    }
    reader.end()?;
    replay.finish(&mut counts);
    let ledger = replay.ledger();
    assert_eq!((counts.opened, counts.requests, ledger.http.oversized_heads), (100_003, 2, 1));
    assert!(ledger.stream.range_limits > 0 && counts.evicted > 0);
    Ok(())
}
