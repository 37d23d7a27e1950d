//! Responsible for the order of one connection's bytes: [`Stream`] takes segments as they are read and hands
//! on data, each byte once and in order, and gaps where bytes are missing. Not responsible for what the bytes
//! mean, nor for which connection they belong to.
//!
//! Segments are ordered by sequence number only: the rings of different CPUs tell their order almost, and networks
//! less. Of overlapping bytes the first ones read win. Data in order is handed on without a copy; what waits
//! behind a hole is copied and waits until the hole is filled or given up.
//!
//! # Where a stream starts
//! A SYN says it: at the number behind its own. A connection that was learned later has no SYN to show, and
//! a segment that was read first need not be its first: the one before it may lie in another CPU's ring. So
//! such a start stays open, its segments wait, and the lowest one starts the stream
//! - after [`Limits::settle_ns`] if it looks like the start of a request. [`Stream::expire`] is called with a
//!   time up to which everything was read, so only what left a hook late could still come before it;
//! - after [`Limits::start_ns`] otherwise: the network may have reordered, and what could be lost is the head.
//!
//! Looking like the start of a request is not enough by itself: so does the second of two pipelined requests.

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

/// The bytes of one connection on their way into order.
///
/// Invariant: once `started`, nothing that waits is at or below `next` when a call returns, nor in a window that
/// begins there.
#[derive(Debug)]
pub struct Stream {
    /// Position of the next byte to hand on; that of the first segment seen until `started`.
    next: u64,
    /// Position of the first byte, once `started`.
    start: u64,
    /// Up to where the kernel does not copy, if that is beyond `next`.
    bypassed: u64,
    pending: Option<Box<Pending>>,
    /// The sequence number of `next`.
    next_seq: Seq,
    started: bool,
    /// Segments in a row that lay outside the window.
    out_of_window: u8,
}

impl Stream {
    /// A stream whose first segment seen is `segment`, which is still to be accepted.
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

    /// Takes a segment and hands on what is in order now.
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
            // What a reset carries is a text for people (RFC 9293 section 3.5.3), not part of the stream.
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

    /// When to call [`Self::expire`], in nanoseconds since the Unix epoch, if nothing comes before. `is_start`
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

    /// Gives up what has been waited for until `now_ns`.
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

    /// Hands on everything that waits, with gaps in between. The stream may go on.
    pub fn give_up_all(&mut self, cx: &mut Context<'_>) {
        while self.give_up(cx) {}
        self.tidy();
    }

    /// Hands on everything that waits for the last time.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        self.give_up_all(cx);
        let discarded = self.discard_below(u64::MAX, cx);
        add(&mut cx.ledger.after_end_bytes, discarded);
    }

    /// How it ended, once everything before the end was handed on.
    pub fn ended(&self) -> Option<EndKind> {
        self.end().filter(|end| self.started && end.position <= self.next).map(|end| end.kind)
    }

    /// The sequence number of the next byte to hand on.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Memory of what waits, in bytes.
    pub fn memory(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.chunks.memory())
    }

    fn end(&self) -> Option<End> {
        self.pending.as_ref().and_then(|pending| pending.end)
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Frees what has become empty.
    fn tidy(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.pending = None;
        }
    }

    /// The position of a sequence number. A number stands for the nearest position that has it.
    fn position(&self, seq: Seq) -> u64 {
        self.next.saturating_add_signed(i64::from(seq.distance(self.next_seq)))
    }

    /// Sorts the payload that begins at `start` into what is old, in order, ahead and behind the end.
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
            // First bytes win: what waits there already is not replaced.
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

    /// Lets the connection end at `position`, if that is not in what was handed on already: a receiver takes
    /// neither a FIN nor a RST from before its window (RFC 9293 section 3.10.7.4).
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

    /// Gives up the start or the first hole: the stream goes on with the lowest thing that waits. `false` if
    /// nothing does.
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

    /// Hands on `bytes`, which come next.
    fn hand_on(&mut self, bytes: &[u8], time_ns: u64, cx: &mut Context<'_>) {
        if !bytes.is_empty() {
            let len = bytes.len() as u64;
            add(&mut cx.ledger.used_bytes, len);
            self.advance_to(self.next.saturating_add(len));
            (cx.deliver)(StreamEvent::Data { bytes, time_ns });
        }
    }

    /// Hands on that what comes next is missing, up to `to`: bypassed as far as the window goes, and then a gap.
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

    /// Moves on to position `to`.
    fn advance_to(&mut self, to: u64) {
        self.next_seq = advanced(self.next_seq, to.wrapping_sub(self.next));
        self.next = to;
        if let Some(pending) = &mut self.pending {
            pending.forget_cut_below(to);
        }
    }

    /// Discards what waits below `position`. Returns how many bytes.
    fn discard_below(&mut self, position: u64, cx: &mut Context<'_>) -> u64 {
        let discarded = self.pending.as_mut().map_or(0, |pending| pending.discard_below(position));
        cx.ledger.held_bytes = cx.ledger.held_bytes.saturating_sub(discarded);
        discarded
    }
}

#[cfg(test)]
mod tests;
