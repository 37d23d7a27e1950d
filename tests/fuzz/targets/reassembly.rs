//! Segments of a few connections in any order, partly bypassed or not. Every byte is counted once, and
//! everything is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_common::{bypass::Bypass, flow_key::FlowKey};
use toa_packets::segment::segment;
use toa_userspace::{
    event::Event,
    limits::Limits,
    pipeline::{Pipeline, Sink, bypass::BypassTable, connection::Connection},
    segment::Segment,
};

/// A sink that counts open connections.
#[derive(Default)]
struct Counting {
    open: i64,
}

impl Sink for Counting {
    fn event(&mut self, _: &Connection, event: &Event<'_>) {
        match event {
            Event::Opened => self.open += 1,
            Event::Closed(_) => self.open -= 1,
            _ => {}
        }
    }
}

/// A kernel that accepts all bypasses, or none.
struct Kernel {
    takes: bool,
}

impl BypassTable for Kernel {
    fn set(&mut self, _: &FlowKey, bypass: &Bypass) -> bool {
        assert!(bypass.bytes() > 0 && bypass.bytes() <= Bypass::MAX_BYTES);
        self.takes
    }

    fn clear(&mut self, _: &FlowKey, _: &Bypass) {}
}

/// The bytes that segments take their payload from.
const STREAM: &[u8] = b"POST /1 HTTP/1.1\r\ncontent-length: 90\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n\
    PUT /3 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n40\r\n\x16\x03\x01\x02\x00\x01\r\n\r\n\0\r\nQUIT\nPROXY TCP4 ";

fn check(pipeline: &Pipeline<Kernel>, sink: &Counting) {
    let (stream, http) = (&pipeline.ledger().stream, &pipeline.ledger().http);
    let sum = stream.used_bytes
        + stream.duplicate_bytes
        + stream.conflicting_bytes
        + stream.discarded_bytes()
        + stream.held_bytes;
    assert_eq!(sum, stream.delivered_bytes);
    let sum = http.head_bytes + http.body_bytes + http.resync_bytes + http.opaque_bytes + http.buffered_bytes;
    assert_eq!(sum, stream.used_bytes);
    assert!(pipeline.connections() <= 3 && i64::try_from(pipeline.connections()) == Ok(sink.open));
    assert!(stream.held_bytes <= 900 && http.buffered_bytes <= 900);
}

fuzz_target!(|data: &[u8]| {
    let mut limits = Limits::default();
    (limits.connections, limits.ended_connections, limits.ranges, limits.fields) = (3, 2, 3, 3);
    (limits.connection_bytes, limits.total_bytes, limits.head_bytes, limits.bypass_bytes) = (600, 900, 60, 9);
    let kernel = Kernel { takes: data.len().is_multiple_of(2) };
    let mut pipeline = Pipeline::with_bypass(limits, 0, kernel);
    let mut sink = Counting::default();
    let mut now_ns = 0;
    for step in data.chunks_exact(8) {
        let &[who, flags, at, len, far, high, cut, pause] = step else {
            continue;
        };
        let from = usize::from(at) % STREAM.len();
        let payload = STREAM.get(from..).unwrap_or_default();
        let payload = payload.get(..usize::from(len) % 64).unwrap_or(payload);
        let seq = u32::from(far) | (u32::from(high & 0xf0) << 24);
        let segment = Segment {
            generation: u64::from(who % 4),
            time_ns: now_ns,
            payload_len: payload.len() as u32 + u32::from(cut.saturating_sub(200)),
            ..segment(1, seq.wrapping_sub(40), flags & 0x17, payload)
        };
        pipeline.segment(&segment, &mut sink);
        check(&pipeline, &sink);
        if pause > 128 {
            now_ns += 1_u64 << (pause % 40);
            pipeline.tick(now_ns, &mut sink);
            check(&pipeline, &sink);
        }
    }
    pipeline.finish(&mut sink);
    check(&pipeline, &sink);
    assert_eq!(sink.open, 0);
});
