//! Reassembly of one direction of a TCP connection.
//!
//! [`Stream`] takes segments in the order in which they are read. It hands on data, each byte once and in order, and
//! gaps where bytes are missing. The parser of [`crate::http`] interprets the bytes.
//!
//! Segments are ordered by sequence number only, because the rings of different CPUs keep their order only
//! approximately, and networks less than that. Of overlapping bytes, those read first win. Data in order is handed on
//! without a copy. Data after a hole is copied and waits until the hole is filled or given up.
//!
//! # Where a stream starts
//! With a SYN, the stream starts at the sequence number after the SYN's. A connection that was learned later has no
//! SYN, and the first segment read need not be the first one sent: an earlier segment may be in the ring of another
//! CPU. Such a start stays open and its segments wait. The lowest segment then starts the stream
//! - after [`Limits::settle_ns`] if it looks like the start of a request. [`Stream::expire`] is called with a time up
//!   to which everything was read, so only a segment that left a hook late can still precede it;
//! - after [`Limits::start_ns`] otherwise: the network may have reordered the segments, and the missing one may contain
//!   the head.
//!
//! Even a segment that looks like the start of a request has to wait, because the second of two pipelined requests
//! looks the same.

mod assembler;
mod bypass;
mod chunks;
pub mod context;
mod event;
mod out_of_window;
mod pending;
mod position;

use toa_common::{
    seq::Seq,
    wire::tcp::{FIN, RST, SYN},
};

use crate::{ledger::add, limits::Limits, segment::Segment};
use chunks::Chunk;
use context::Context;
pub use event::{EndKind, StreamEvent};
use pending::{End, Pending};
use position::{ORIGIN, advanced, first_byte, part};

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
    pending: Option<Box<Pending>>,
    /// The sequence number of `next`.
    next_seq: Seq,
    started: bool,
    /// Consecutive segments with payload outside the window.
    out_of_window: u8,
}

impl Stream {
    /// Creates a stream. `segment` is the first segment seen; it is still to be accepted.
    pub fn new(segment: &Segment<'_>) -> Self {
        Self {
            next: ORIGIN,
            start: 0,
            bypassed: 0,
            pending: None,
            next_seq: first_byte(segment),
            started: false,
            out_of_window: 0,
        }
    }

    /// Takes a segment and hands on what is now in order.
    pub fn accept(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let mut start = self.position(first_byte(segment));
        let len = segment.payload.len() as u64;
        if self.is_out_of_window(start) {
            let Some(found) = self.resynchronise(start, len, cx) else {
                return;
            };
            start = found;
        }
        self.out_of_window = 0;
        if segment.flags & SYN != 0 && !self.started {
            self.start_at(start, true, cx);
        }
        if segment.flags & RST != 0 {
            // The payload of a reset is a diagnostic text (RFC 9293 section 3.5.3), not part of the stream.
            add(&mut cx.ledger.after_end_bytes, len);
            self.end_at(start, EndKind::Rst, segment.time_ns);
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

    /// Returns when to call [`Self::expire`] if nothing arrives before, in nanoseconds since the Unix epoch. `is_start`
    /// says whether bytes look like the start of a message.
    pub fn deadline(&self, limits: &Limits, is_start: impl FnOnce(&[u8]) -> bool) -> Option<u64> {
        let pending = self.pending.as_ref()?;
        Some(pending.since_ns()?.saturating_add(if self.started {
            limits.hole_ns
        } else if pending.chunks.first().is_some_and(|chunk| is_start(&chunk.bytes)) {
            limits.settle_ns
        } else {
            limits.start_ns
        }))
    }

    /// Gives up everything whose deadline is not after `now_ns`.
    pub fn expire(&mut self, now_ns: u64, is_start: impl Fn(&[u8]) -> bool, cx: &mut Context<'_>) {
        while self.deadline(cx.limits, &is_start).is_some_and(|deadline| deadline <= now_ns) {
            let is_hole = self.started;
            if !self.give_up(cx) {
                return;
            }
            add(&mut cx.ledger.hole_timeouts, u64::from(is_hole));
        }
        self.tidy();
    }

    /// Hands on everything that waits, with gaps in between. The stream may continue.
    pub fn give_up_all(&mut self, cx: &mut Context<'_>) {
        while self.give_up(cx) {}
        self.tidy();
    }

    /// Hands on everything that waits and ends the stream.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        self.give_up_all(cx);
        let discarded = self.discard_below(u64::MAX, cx);
        add(&mut cx.ledger.after_end_bytes, discarded);
    }

    /// Returns how the connection ended, once everything before the end was handed on.
    pub fn ended(&self) -> Option<EndKind> {
        self.end().filter(|end| self.started && end.position <= self.next).map(|end| end.kind)
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

    /// Handles each part of the payload, which begins at `start`: old, in order, ahead of `next`, or after the end.
    fn take_payload(&mut self, start: u64, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let end = start.saturating_add(segment.payload.len() as u64);
        let first = if self.started { self.next } else { 0 };
        let last = self.end().map_or(u64::MAX, |end| end.position);

        let old = start..end.min(first).max(start);
        let before = old.end.min(self.start).saturating_sub(old.start);
        let late = self.pending.as_ref().map_or(0, |pending| pending.in_gaps(&old));
        let duplicate = old.end.saturating_sub(old.start).saturating_sub(before).saturating_sub(late);
        add(&mut cx.ledger.before_start_bytes, before);
        add(&mut cx.ledger.late_bytes, late);
        add(&mut cx.ledger.duplicate_bytes, duplicate);
        let behind = end.saturating_sub(last.max(old.end));
        add(&mut cx.ledger.after_end_bytes, behind);

        let mut from = old.end;
        let to = end.saturating_sub(behind);
        let time_ns = segment.time_ns;
        if self.started && from == self.next && from < to {
            // The bytes read first win: data that already waits is not replaced.
            let pending = self.pending.as_ref().and_then(|pending| pending.chunks.first_position());
            let direct = pending.map_or(to, |position| position.min(to));
            self.hand_on(part(segment.payload, start, from..direct), time_ns, cx);
            from = direct;
        }
        if from < to {
            let added = self.pending().chunks.insert(from, part(segment.payload, start, from..to), time_ns);
            let duplicate = to.saturating_sub(from).saturating_sub(added);
            add(&mut cx.ledger.duplicate_bytes, duplicate);
            add(&mut cx.ledger.held_bytes, added);
        }

        let cut_end = start.saturating_add(u64::from(segment.payload_len)).min(last);
        let cut_start = end.max(first);
        if cut_start < cut_end {
            self.pending().cut(cut_start..cut_end, time_ns);
        }
    }

    /// Ends the connection at `position`, unless that was handed on already: a receiver accepts neither a FIN nor a RST
    /// from before its window (RFC 9293 section 3.10.7.4).
    fn end_at(&mut self, position: u64, kind: EndKind, time_ns: u64) {
        let is_earlier = self.end().is_none_or(|end| position < end.position);
        if is_earlier && (!self.started || position >= self.next) {
            self.pending().end = Some(End { position, kind, time_ns });
        }
    }

    /// Starts the stream at `position`.
    fn start_at(&mut self, position: u64, from_syn: bool, cx: &mut Context<'_>) {
        self.next_seq = advanced(self.next_seq, position.wrapping_sub(self.next));
        self.next = position;
        self.started = true;
        self.start = position;
        let discarded = self.discard_below(position, cx);
        add(&mut cx.ledger.before_start_bytes, discarded);
        (cx.deliver)(StreamEvent::Start { from_syn });
    }

    /// Gives up the open start or the first hole. The stream continues with the lowest position that waits. Returns
    /// `false` if nothing waits.
    fn give_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ended().is_some() {
            return false;
        }
        let Some(to) = self.pending.as_ref().and_then(|pending| pending.first_position()) else {
            return false;
        };
        if self.started {
            self.pass_over(to, cx);
        } else {
            self.start_at(to, false, cx);
        }
        self.drain(cx);
        true
    }

    /// Hands on what is in order.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(pending) = &mut self.pending {
            if let Some(Chunk { bytes, time_ns }) = pending.chunks.take(self.next) {
                cx.ledger.held_bytes = cx.ledger.held_bytes.saturating_sub(bytes.len() as u64);
                self.hand_on(&bytes, time_ns, cx);
            } else if let Some(to) = pending.cut_at(self.next) {
                self.pass_over(to, cx);
            } else if let Some(to) = pending.first_position().map(|first| first.min(self.bypassed))
                && to > self.next
            {
                self.pass_over(to, cx);
            } else {
                return;
            }
        }
    }

    /// Hands on `bytes`, the next bytes of the stream.
    fn hand_on(&mut self, bytes: &[u8], time_ns: u64, cx: &mut Context<'_>) {
        if !bytes.is_empty() {
            let len = bytes.len() as u64;
            add(&mut cx.ledger.used_bytes, len);
            self.advance_to(self.next.saturating_add(len));
            (cx.deliver)(StreamEvent::Data { bytes, time_ns });
        }
    }

    /// Reports everything up to `to` as missing: the bypassed window first, and the rest as a gap.
    fn pass_over(&mut self, to: u64, cx: &mut Context<'_>) {
        let from = self.next;
        if from < to {
            self.pending().remember_gap(from..to);
        }
        let bypassed = to.min(self.bypassed).saturating_sub(from);
        if bypassed > 0 {
            add(&mut cx.ledger.bypassed_bytes, bypassed);
            self.advance_to(from.saturating_add(bypassed));
            (cx.deliver)(StreamEvent::Bypassed { bytes: bypassed });
        }
        let bytes = to.saturating_sub(self.next);
        if bytes > 0 {
            add(&mut cx.ledger.gaps, 1);
            add(&mut cx.ledger.gap_bytes, bytes);
            self.advance_to(to);
            (cx.deliver)(StreamEvent::Gap { bytes });
        }
    }

    /// Advances to position `to`.
    fn advance_to(&mut self, to: u64) {
        self.next_seq = advanced(self.next_seq, to.wrapping_sub(self.next));
        self.next = to;
        if let Some(pending) = &mut self.pending {
            pending.forget_cut_below(to);
        }
    }

    /// Discards data that waits below `position`. Returns how many bytes were discarded.
    fn discard_below(&mut self, position: u64, cx: &mut Context<'_>) -> u64 {
        let discarded = self.pending.as_mut().map_or(0, |pending| pending.discard_below(position));
        cx.ledger.held_bytes = cx.ledger.held_bytes.saturating_sub(discarded);
        discarded
    }
}

#[cfg(test)]
mod tests;
