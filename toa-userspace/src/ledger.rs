//! Counts of what became of every delivered packet and byte. What the kernel counts is in [`kernel`].
//!
//! Each term is counted where it occurs, and none is derived from the others, so that the sums are a check:
//!
//! ```text
//! delivered = used + duplicate + conflicting + discarded + held    bytes, by the stream
//! used      = head + body + resync + opaque + unwanted + buffered  bytes, by the parser
//! ```
//!
//! The first holds for packets and for plaintext, each with its stream; the second for both together.
//!
//! `held` and `buffered` are gauges and are 0 after a flush. Used bytes are those handed to the parser, whatever it
//! found in them.

pub mod account;
pub mod counters;
pub mod examples;
pub mod kernel;
pub mod losses;
pub mod remarks;
pub mod traffic;

use toa_common::seq::Seq;

use crate::segment::Segment;

/// The counts of a pipeline.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Samples that were not segments.
    pub undecodable_samples: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Real clients that sent requests, by address, as far as something names them. Very many are not counted any more.
    pub clients: u64,
    /// Connections of clients that no rule matches.
    pub unwatched_connections: u64,
    /// Connections whose client nothing had named when their first data was read.
    pub unnamed_connections: u64,
    /// Connections flushed because there were too many.
    pub connections_evicted: u64,
    /// Connections flushed because they were silent for too long.
    pub connections_idle: u64,
    /// Ended connections forgotten because there were too many of them.
    pub ended_evicted: u64,
    /// Bypasses that the kernel accepted.
    pub bypasses: u64,
    /// Times that a connection gave up what it waited for because all connections together held too many bytes.
    pub total_bytes_limits: u64,
    /// What became of segments and their bytes.
    pub stream: StreamLedger,
    /// What became of plaintext: a read counts as a segment.
    pub plaintext: StreamLedger,
    /// What the parser found.
    pub http: HttpLedger,
}

/// Counts of what became of segments and their payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StreamLedger {
    /// Segments handed in.
    pub delivered_packets: u64,
    /// Bytes of captured payload handed in.
    pub delivered_bytes: u64,
    /// Segments handed in without the end of their payload.
    pub cut_packets: u64,
    /// Bytes of payload that the kernel cut off those segments.
    pub cut_bytes: u64,
    /// Bytes handed to the parser.
    pub used_bytes: u64,
    /// Bytes that had been delivered before.
    pub duplicate_bytes: u64,
    /// Bytes that had been delivered before with another content, as far as that is known.
    pub conflicting_bytes: u64,
    /// Bytes that arrived after their hole was given up, or after a bypass let the stream pass them.
    pub late_bytes: u64,
    /// Bytes before the first byte of a stream.
    pub before_start_bytes: u64,
    /// Bytes after the end of a connection.
    pub after_end_bytes: u64,
    /// Bytes further from the next expected byte than any TCP window reaches.
    pub out_of_window_bytes: u64,
    /// Bytes of segments with a wrong checksum.
    pub bad_checksum_bytes: u64,
    /// Bytes of segments with an older timestamp than what was handed on.
    pub old_timestamp_bytes: u64,
    /// Bytes in a SYN without a Fast Open cookie.
    pub syn_bytes: u64,
    /// Urgent bytes, which a server does not read as part of the stream.
    pub urgent_bytes: u64,
    /// Resets at another place than the next expected byte.
    pub stray_resets: u64,
    /// Segments with a wrong checksum.
    pub bad_checksums: u64,
    /// Gauge: bytes that wait for a hole to be filled.
    pub held_bytes: u64,
    /// Holes and cut-off parts that were given up.
    pub gaps: u64,
    /// Bytes in those gaps.
    pub gap_bytes: u64,
    /// Bytes that the kernel bypassed, as far as the segments after them show.
    pub bypassed_bytes: u64,
    /// Holes given up because they were open for too long.
    pub hole_timeouts: u64,
    /// Holes given up because too many bytes of their connection waited.
    pub connection_bytes_limits: u64,
    /// Holes given up because too many ranges of their connection waited.
    pub range_limits: u64,
}

impl StreamLedger {
    /// Returns how many delivered bytes were discarded.
    pub fn discarded_bytes(&self) -> u64 {
        self.late_bytes
            .saturating_add(self.before_start_bytes)
            .saturating_add(self.after_end_bytes)
            .saturating_add(self.out_of_window_bytes)
            .saturating_add(self.bad_checksum_bytes)
            .saturating_add(self.old_timestamp_bytes)
            .saturating_add(self.syn_bytes)
            .saturating_add(self.urgent_bytes)
    }

    /// Counts a segment that was handed in.
    pub(crate) fn deliver(&mut self, segment: &Segment<'_>) {
        let cut_bytes = segment.cut_bytes();
        add(&mut self.delivered_packets, 1);
        add(&mut self.delivered_bytes, segment.payload.len() as u64);
        add(&mut self.cut_packets, u64::from(cut_bytes > 0));
        add(&mut self.cut_bytes, cut_bytes);
    }

    /// Counts the bytes of a segment of a connection that has ended at `next_seq`.
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
    /// Requests whose head is incomplete.
    pub incomplete_requests: u64,
    /// Requests that were found by searching.
    pub resynchronized_requests: u64,
    /// Requests that a server may refuse because their head is malformed.
    pub malformed_requests: u64,
    /// Requests of which bytes may have arrived twice with different content.
    pub conflicting_requests: u64,
    /// Requests after what seemed to be the end of their connection.
    pub reopened_requests: u64,
    /// Requests after one, or a frame of HTTP/2, that a server may refuse.
    pub possibly_unread_requests: u64,
    /// Heads that ended before their target, because the connection ended or memory was short.
    pub unfinished_heads: u64,
    /// Heads that exceed the limit on bytes.
    pub oversized_heads: u64,
    /// TLS connections whose `ClientHello` exceeds a limit on bytes or protocols.
    pub oversized_hellos: u64,
    /// Requests whose body length is ambiguous or cannot be determined.
    pub faulty_framings: u64,
    /// Fields of HTTP/2 requests that refer to what was sent before the connection was joined, or was lost.
    pub unknown_fields: u64,
    /// Announcements of a table for header compression that is larger than what is kept of it.
    pub large_tables: u64,
    /// Frames of HTTP/2 with neither content nor an end for their stream.
    pub empty_frames: u64,
    /// Streams of HTTP/2 that their client reset.
    pub reset_streams: u64,
    /// Times that the parser lost its place in the stream and had to search for the next request.
    pub resyncs: u64,
    /// Connections that are not HTTP, or stopped being HTTP. One in TLS counts when it ends, unless its plaintext is read.
    pub not_http: u64,
    /// Bytes of heads and of the empty lines before them, and of all frames of HTTP/2 except what DATA contains.
    pub head_bytes: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// Bytes that were not copied because of a bypass.
    pub bypassed_bytes: u64,
    /// Bytes skipped in search of a request.
    pub resync_bytes: u64,
    /// Bytes that are not HTTP.
    pub opaque_bytes: u64,
    /// Bytes of connections that no rule matches.
    pub unwanted_bytes: u64,
    /// Gauge: bytes that wait for the end of a head.
    pub buffered_bytes: u64,
}

impl HttpLedger {
    /// Updates the gauge after the buffer of one parser changed its length.
    pub(crate) fn rebuffer(&mut self, before: usize, after: usize) {
        self.buffered_bytes = self.buffered_bytes.saturating_add(after as u64).saturating_sub(before as u64);
    }
}

/// Adds to a counter, saturating.
pub(crate) fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}
