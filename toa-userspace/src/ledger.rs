//! Responsible for the counts of what became of every delivered packet and byte. Not responsible for
//! printing them, nor for what the kernel counts.
//!
//! Each term is counted where it happens and none is derived from the others, so that the sums prove
//! something:
//!
//! ```text
//! delivered = used + duplicate + discarded + held            bytes, by the stream
//! used      = head + body + resync + opaque + buffered       bytes, by the parser
//! ```
//!
//! `held` and `buffered` are gauges and 0 after a flush. Used means handed to the parser, whatever the parser
//! made of it.

pub mod account;
pub mod counters;
pub mod kernel;
pub mod traffic;

use toa_common::seq::Seq;

use crate::segment::Segment;

/// Counts of a pipeline.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Samples that were no segments.
    pub undecodable_samples: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Connections flushed because there were too many.
    pub connections_evicted: u64,
    /// Connections flushed because they were silent for too long.
    pub connections_idle: u64,
    /// Ended connections forgotten because there were too many.
    pub ended_evicted: u64,
    /// Bypasses that the kernel took.
    pub bypasses: u64,
    /// Times that a connection gave up what it waited for, because all connections together waited for too
    /// many bytes.
    pub total_bytes_limits: u64,
    /// What became of segments and their bytes.
    pub stream: StreamLedger,
    /// What the parser found.
    pub http: HttpLedger,
}

/// Counts of what became of segments and their bytes of payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StreamLedger {
    /// Segments handed in.
    pub delivered_packets: u64,
    /// Bytes of captured payload handed in.
    pub delivered_bytes: u64,
    /// Segments handed in without the end of their payload.
    pub cut_packets: u64,
    /// Bytes of payload that the kernel cut off them.
    pub cut_bytes: u64,
    /// Bytes handed to the parser.
    pub used_bytes: u64,
    /// Bytes that had been delivered before.
    pub duplicate_bytes: u64,
    /// Bytes that came when their hole had been given up, or when the stream had passed them because of a bypass.
    pub late_bytes: u64,
    /// Bytes before a connection's first one.
    pub before_start_bytes: u64,
    /// Bytes behind a connection's end.
    pub after_end_bytes: u64,
    /// Bytes further ahead than any TCP window reaches.
    pub out_of_window_bytes: u64,
    /// Gauge: bytes that wait behind holes.
    pub held_bytes: u64,
    /// Holes and cut tails that were given up.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Bytes that were not handed in because they are bypassed, as far as can be seen from what came after them.
    pub bypassed_bytes: u64,
    /// Holes given up because they stayed open for too long.
    pub hole_timeouts: u64,
    /// Holes given up because their connection waited for too many bytes.
    pub connection_bytes_limits: u64,
    /// Holes given up because their connection waited for too many ranges.
    pub range_limits: u64,
}

impl StreamLedger {
    /// Bytes discarded by a limit.
    pub fn discarded_bytes(&self) -> u64 {
        self.late_bytes
            .saturating_add(self.before_start_bytes)
            .saturating_add(self.after_end_bytes)
            .saturating_add(self.out_of_window_bytes)
    }

    /// Counts a segment as handed in.
    pub(crate) fn deliver(&mut self, segment: &Segment<'_>) {
        let cut_bytes = segment.cut_bytes();
        add(&mut self.delivered_packets, 1);
        add(&mut self.delivered_bytes, segment.payload.len() as u64);
        add(&mut self.cut_packets, u64::from(cut_bytes > 0));
        add(&mut self.cut_bytes, cut_bytes);
    }

    /// Counts the bytes of a segment whose connection has ended at `next_seq`.
    pub(crate) fn after_end(&mut self, segment: &Segment<'_>, next_seq: Seq) {
        let len = segment.payload.len() as u64;
        let before_end = u64::try_from(next_seq.distance(segment.seq)).unwrap_or(0).min(len);
        add(&mut self.duplicate_bytes, before_end);
        add(&mut self.after_end_bytes, len.saturating_sub(before_end));
    }
}

/// Counts of what the parser found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HttpLedger {
    /// Requests, incomplete ones included.
    pub requests: u64,
    /// Requests whose head lost bytes.
    pub incomplete_requests: u64,
    /// Heads that a connection's end left without their end.
    pub unfinished_heads: u64,
    /// Heads beyond a limit, of bytes or of fields.
    pub oversized_heads: u64,
    /// TLS connections whose `ClientHello` is beyond a limit, of bytes or of protocols.
    pub oversized_hellos: u64,
    /// What began like a head and was none.
    pub malformed_heads: u64,
    /// Requests the length of whose body can be read in two ways, or in none.
    pub faulty_framings: u64,
    /// Times that the place in the stream was lost and the next request had to be searched for.
    pub resyncs: u64,
    /// Connections, or rests of them, that are not HTTP/1.
    pub not_http: u64,
    /// Bytes of heads, and of empty lines before them.
    pub head_bytes: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// Bytes that were not copied because they are bypassed.
    pub bypassed_bytes: u64,
    /// Bytes passed over in search of a request.
    pub resync_bytes: u64,
    /// Bytes that are not HTTP/1.
    pub opaque_bytes: u64,
    /// Gauge: bytes that wait for the end of a head.
    pub buffered_bytes: u64,
}

impl HttpLedger {
    /// Moves the gauge when one parser's buffer changed its length.
    pub(crate) fn rebuffer(&mut self, before: usize, after: usize) {
        self.buffered_bytes = self.buffered_bytes.saturating_add(after as u64).saturating_sub(before as u64);
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}
