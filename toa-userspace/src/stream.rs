//! Reassembly of one direction of a TCP connection.
//!
//! [`Stream`] takes segments in the order in which they are read. It hands on data, each byte once and in order, and
//! gaps where bytes are missing. The parser of [`crate::http`] interprets the bytes.
//!
//! Segments are ordered by sequence number only, because the rings of different CPUs keep their order only
//! approximately, and networks less than that. Of overlapping bytes, those win that Linux would deliver; if copies
//! differ, that is counted and handed on. Data in order is handed on without a copy. Data after a hole is copied and
//! waits until the hole is filled or given up.
//!
//! # Where a stream starts
//! Usually the packet that named the client shows it ([`Start`]). If that was a packet with payload, an earlier one may
//! be in the ring of another CPU. The start of a connection that was open before is unknown. [`Stream::expire`] is called
//! with a time up to which everything was read, so only a segment that left a hook late can still precede what was. Both
//! begin with the lowest segment
//! - after [`settle_ns`](crate::limits::Limits::settle_ns) if that looks like the start of a request;
//! - after [`start_ns`](crate::limits::Limits::start_ns) otherwise: the network may have reordered the segments, and the missing one may contain
//!   the head.
//!
//! # Where it ends
//! No end is certain from one side. A RST counts at the next expected byte only. A FIN counts once everything before it
//! was handed on. Payload that continues the stream shows that the server may not have accepted the end, and the stream
//! goes on.
//!
//! # What a server would not accept
//! Payload of a SYN without a Fast Open cookie (RFC 7413), segments with an old timestamp (RFC 7323 section 5), segments
//! far outside of any window, and the urgent byte, which is not part of what the server reads (RFC 6093).

mod arrival;
mod assembler;
mod bypass;
mod chunks;
pub mod context;
mod end;
mod event;
mod history;
mod out_of_window;
mod patience;
mod payload;
mod pending;
mod position;
mod urgent;

use toa_common::{
    handshake::INITIAL_WINDOW,
    seq::Seq,
    wire::tcp::{ACK, FIN, RST, SYN},
};

use crate::{
    ledger::add,
    segment::{Segment, Start},
};
pub use arrival::Arrival;
use context::Context;
pub use event::{EndKind, StreamEvent};
use history::History;
use pending::{End, Pending};
use position::{ORIGIN, advanced, first_byte, origin};

/// Silence after which timestamps are not compared, in nanoseconds (RFC 7323 section 5.5: 24 days).
const TIMESTAMP_LIFETIME_NS: u64 = 24 * 86_400 * 1_000_000_000;

/// By how much a timestamp may be older than the latest one (`TCP_PAWS_WINDOW` of Linux, which allows for rounding).
const TIMESTAMP_SLACK: i32 = 1;

/// One direction of a connection, being reassembled.
///
/// Invariant: once `started`, everything that waits when a call returns lies above `next` and outside of the bypassed
/// window that begins there.
#[derive(Debug)]
pub struct Stream {
    /// Position of the next byte to hand on. Until `started`, the position of the first segment seen.
    next: u64,
    /// Position of the first byte, once `started`.
    start: u64,
    /// End of the part that the kernel does not copy, if that is after `next`.
    bypassed: u64,
    /// When bytes were last handed on, in nanoseconds since the Unix epoch.
    progress_ns: u64,
    pending: Option<Box<Pending>>,
    history: Option<Box<History>>,
    /// The sequence number of `next`.
    next_seq: Seq,
    /// The timestamp of the latest segment in order, and when that arrived.
    timestamp: Option<(u32, u64)>,
    /// Whether there are timestamps as far as is known: a SYN that was seen has not left them out.
    has_timestamps: bool,
    /// The sequence number after the latest segment outside the window.
    stray_seq: Seq,
    /// Consecutive segments outside the window, each continuing the one before.
    strays: u8,
    started: bool,
    /// Whether the start is that of the connection.
    is_start_known: bool,
    /// The position of the first data that named the client. It may be lost, or come after earlier data that named it.
    named: Option<u64>,
    /// The end of the latest first fragment: what follows it is in packets that are not read.
    fragment_end: u64,
}

impl Stream {
    /// Creates a stream. `segment` is the first segment seen; it is still to be accepted.
    pub fn new(segment: &Segment<'_>) -> Self {
        let mut this = Self {
            next: ORIGIN,
            start: 0,
            bypassed: 0,
            progress_ns: 0,
            pending: None,
            history: None,
            next_seq: origin(segment),
            timestamp: None,
            has_timestamps: true,
            stray_seq: Seq(0),
            strays: 0,
            started: false,
            is_start_known: segment.start != Start::Unknown,
            named: None,
            fragment_end: 0,
        };
        if let Start::Data(seq) = segment.start {
            this.named = Some(this.position(seq));
        }
        this
    }

    /// Takes a segment and hands on what is now in order.
    pub fn accept(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) {
        if !self.started {
            if let Start::Known(seq) = segment.start {
                self.start_at(self.position(seq), cx);
            } else if segment.flags & (SYN | ACK) == SYN && !self.has_before(first_byte(segment)) {
                self.is_start_known = true;
                self.has_timestamps = segment.details.timestamp.is_some();
                self.start_at(self.position(first_byte(segment)), cx);
            }
        }
        let mut start = self.position(first_byte(segment));
        if segment.flags & SYN != 0 && (segment.flags & ACK != 0 || !segment.details.is_fast_open) {
            add(&mut cx.ledger.syn_bytes, segment.payload.len() as u64);
            return;
        }
        if !self.started && self.named.is_some_and(|named| is_far_before(start, named)) {
            add(&mut cx.ledger.before_start_bytes, segment.payload.len() as u64);
            return;
        }
        if self.is_out_of_window(start) {
            let Some(found) = self.resynchronise(start, segment, cx) else {
                return;
            };
            start = found;
        }
        if !segment.payload.is_empty() {
            self.strays = 0;
        }
        if self.is_old(start, segment) {
            add(&mut cx.ledger.old_timestamp_bytes, segment.payload.len() as u64);
            return;
        }
        if segment.flags & RST != 0 {
            // The payload of a reset is a diagnostic text (RFC 9293 section 3.5.3), not part of the stream.
            add(&mut cx.ledger.after_end_bytes, segment.payload.len() as u64);
            self.reset(start, segment, cx);
        } else {
            self.take_payload(start, segment, cx);
            if segment.flags & FIN != 0 {
                let end = start.saturating_add(u64::from(segment.payload_len));
                self.end_at(end, EndKind::Fin, segment.time_ns);
            }
        }
        if self.started {
            self.drain(cx);
        }
        while self.memory() > cx.limits.connection_bytes && self.give_up(cx) {
            add(&mut cx.ledger.connection_bytes_limits, 1);
        }
        while self.pending.as_ref().is_some_and(|pending| pending.ranges() > cx.limits.ranges)
            && self.give_up(cx)
        {
            add(&mut cx.ledger.range_limits, 1);
        }
        self.tidy();
    }

    /// Returns the sequence number of the next byte to hand on.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Returns the memory of the bytes that wait, in bytes.
    pub fn memory(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.chunks.memory())
    }

    fn end(&self) -> Option<End> {
        self.pending.as_ref().and_then(|pending| pending.end)
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Frees the memory for waiting data if it is empty.
    fn tidy(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.pending = None;
        }
    }

    /// Returns the position of a sequence number: of all positions with this number, the nearest to `next`.
    fn position(&self, seq: Seq) -> u64 {
        self.next.saturating_add_signed(i64::from(seq.distance(self.next_seq)))
    }

    /// Returns whether a segment at `start` has an older timestamp than what the stream has handed on, so that a server
    /// discards it. Remembers the timestamps of segments in order.
    fn is_old(&mut self, start: u64, segment: &Segment<'_>) -> bool {
        let Some(timestamp) = segment.details.timestamp.filter(|_| self.has_timestamps) else {
            return false;
        };
        let end = start.saturating_add(u64::from(segment.payload_len));
        let is_old = self.timestamp.is_some_and(|(latest, time_ns)| {
            // One that arrived earlier may come later, from the ring of another CPU.
            let age_ns = segment.time_ns.checked_sub(time_ns);
            Seq(timestamp).distance(Seq(latest)) < -TIMESTAMP_SLACK
                && age_ns.is_some_and(|age| age < TIMESTAMP_LIFETIME_NS)
        });
        if !is_old && start <= self.next && end > self.next {
            self.timestamp = Some((timestamp, segment.time_ns));
        }
        is_old && segment.flags & RST == 0 && (end > self.next || segment.flags & FIN != 0)
    }

    /// Returns whether a byte before `seq` has arrived that belongs to the stream, although that has not started.
    fn has_before(&self, seq: Seq) -> bool {
        let first = self.pending.as_ref().and_then(|pending| pending.chunks.first_position());
        self.is_start_known && first.is_some_and(|first| first < self.position(seq))
    }

    /// Returns the position after the first bytes, up to the first hole.
    fn front(&self) -> u64 {
        let front = self.pending.as_ref().and_then(|pending| pending.chunks.front());
        front.map_or(self.next, |front| front.end)
    }

    /// Starts the stream at `position`.
    fn start_at(&mut self, position: u64, cx: &mut Context<'_>) {
        self.next_seq = advanced(self.next_seq, position.wrapping_sub(self.next));
        self.next = position;
        self.started = true;
        self.start = position;
        let discarded = self.discard_below(position, cx);
        add(&mut cx.ledger.before_start_bytes, discarded);
        if self.end().is_some_and(|end| end.position < position) {
            self.pending().end = None;
        }
        (cx.deliver)(StreamEvent::Start { is_known: self.is_start_known });
    }

    /// Advances to position `to`.
    fn advance_to(&mut self, to: u64) {
        self.next_seq = advanced(self.next_seq, to.wrapping_sub(self.next));
        self.next = to;
        if let Some(pending) = &mut self.pending {
            pending.forget_cut_below(to);
        }
    }
}

/// Returns whether a segment at `start` is too far before the first data that named the client to be the start.
fn is_far_before(start: u64, named: u64) -> bool {
    start.saturating_add(u64::from(INITIAL_WINDOW)) < named
}

#[cfg(test)]
mod tests;
