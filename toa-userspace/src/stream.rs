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

pub mod assembler;
mod chunks;
mod event;
mod order;
mod out_of_window;
mod pending;
mod position;

use toa_common::{
    seq::Seq,
    wire::tcp::{FIN, RST, SYN},
};

use crate::{
    ledger::{StreamLedger, add},
    limits::Limits,
    segment::Segment,
};
use chunks::Chunk;
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
    /// Up to where the kernel was ordered not to copy. There is no such order if that is not beyond `next`.
    ordered: u64,
    waiting: Option<Box<Pending>>,
    /// The sequence number of `next`.
    next_seq: Seq,
    started: bool,
    /// Segments in a row that lay outside.
    strays: u8,
}

impl Stream {
    /// A stream whose first segment seen is `segment`, which is still to be accepted.
    #[must_use]
    pub fn new(segment: &Segment<'_>) -> Self {
        Self {
            next: ORIGIN,
            start: 0,
            ordered: 0,
            waiting: None,
            next_seq: first_byte(segment),
            started: false,
            strays: 0,
        }
    }

    /// Takes a segment and hands on what is in order now.
    pub fn accept(
        &mut self,
        segment: &Segment<'_>,
        limits: &Limits,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        let mut start = self.position(first_byte(segment));
        let len = segment.payload.len() as u64;
        if self.is_outside(start) {
            let Some(found) = self.stray(start, len, ledger, deliver) else {
                return;
            };
            start = found;
        }
        self.strays = 0;
        if segment.flags & SYN != 0 && !self.started {
            self.start_at(start, true, ledger, deliver);
        }
        if segment.flags & RST != 0 {
            // What a reset carries is a text for people (RFC 9293 section 3.5.3), not part of the stream.
            add(&mut ledger.after_end_bytes, len);
            self.end_at(start, EndKind::Rst, segment.time_ns);
        } else {
            self.take_payload(start, segment, ledger, deliver);
            if segment.flags & FIN != 0 {
                let end = start.saturating_add(u64::from(segment.payload_len));
                self.end_at(end, EndKind::Fin, segment.time_ns);
            }
        }
        if self.started {
            self.drain(ledger, deliver);
        }
        while self.memory() > limits.connection_bytes && self.give_up(ledger, deliver) {
            add(&mut ledger.connection_bytes_limits, 1);
        }
        while self.waiting.as_ref().is_some_and(|waiting| waiting.ranges() > limits.ranges)
            && self.give_up(ledger, deliver)
        {
            add(&mut ledger.range_limits, 1);
        }
        self.tidy();
    }

    /// When to call [`Self::expire`], in nanoseconds since the Unix epoch, if nothing comes before. `is_start`
    /// says whether bytes look like the start of a message.
    #[must_use]
    pub fn deadline(&self, limits: &Limits, is_start: impl FnOnce(&[u8]) -> bool) -> Option<u64> {
        let waiting = self.waiting.as_ref()?;
        Some(waiting.since_ns()?.saturating_add(if self.started {
            limits.hole_ns
        } else if waiting.store.first().is_some_and(|chunk| is_start(&chunk.bytes)) {
            limits.settle_ns
        } else {
            limits.start_ns
        }))
    }

    /// Gives up what has been waited for until `now_ns`.
    pub fn expire(
        &mut self,
        now_ns: u64,
        limits: &Limits,
        is_start: impl Fn(&[u8]) -> bool,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        while self.deadline(limits, &is_start).is_some_and(|deadline| deadline <= now_ns) {
            let is_hole = self.started;
            if !self.give_up(ledger, deliver) {
                return;
            }
            add(&mut ledger.hole_timeouts, u64::from(is_hole));
        }
        self.tidy();
    }

    /// Hands on everything that waits, with gaps in between. The stream may go on.
    pub fn give_up_all(&mut self, ledger: &mut StreamLedger, deliver: &mut impl FnMut(StreamEvent<'_>)) {
        while self.give_up(ledger, deliver) {}
        self.tidy();
    }

    /// Hands on everything that waits for the last time.
    pub fn flush(&mut self, ledger: &mut StreamLedger, deliver: &mut impl FnMut(StreamEvent<'_>)) {
        self.give_up_all(ledger, deliver);
        let discarded = self.discard_below(u64::MAX, ledger);
        add(&mut ledger.after_end_bytes, discarded);
    }

    /// How it ended, once everything before the end was handed on.
    #[must_use]
    pub fn ended(&self) -> Option<EndKind> {
        self.end().filter(|end| self.started && end.position <= self.next).map(|end| end.kind)
    }

    /// The sequence number of the next byte to hand on.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Memory of what waits, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.store.memory())
    }

    fn end(&self) -> Option<End> {
        self.waiting.as_ref().and_then(|waiting| waiting.end)
    }

    fn waiting(&mut self) -> &mut Pending {
        self.waiting.get_or_insert_default()
    }

    /// Frees what has become empty.
    fn tidy(&mut self) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_empty()) {
            self.waiting = None;
        }
    }

    /// The position of a sequence number. A number stands for the nearest position that has it.
    fn position(&self, seq: Seq) -> u64 {
        self.next.saturating_add_signed(i64::from(seq.distance(self.next_seq)))
    }

    /// Sorts the payload that begins at `start` into what is old, in order, ahead and behind the end.
    fn take_payload(
        &mut self,
        start: u64,
        segment: &Segment<'_>,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        let end = start.saturating_add(segment.payload.len() as u64);
        let first = if self.started { self.next } else { 0 };
        let last = self.end().map_or(u64::MAX, |end| end.position);

        let old = start..end.min(first).max(start);
        let before = old.end.min(self.start).saturating_sub(old.start);
        let late = self.waiting.as_ref().map_or(0, |waiting| waiting.in_gaps(&old));
        let duplicate = old.end.saturating_sub(old.start).saturating_sub(before).saturating_sub(late);
        add(&mut ledger.before_start_bytes, before);
        add(&mut ledger.late_bytes, late);
        add(&mut ledger.duplicate_bytes, duplicate);
        let behind = end.saturating_sub(last.max(old.end));
        add(&mut ledger.after_end_bytes, behind);

        let mut from = old.end;
        let to = end.saturating_sub(behind);
        let time_ns = segment.time_ns;
        if self.started && from == self.next && from < to {
            // First bytes win: what waits there already is not replaced.
            let waiting = self.waiting.as_ref().and_then(|waiting| waiting.store.first_position());
            let direct = waiting.map_or(to, |position| position.min(to));
            self.hand_on(part(segment.payload, start, from..direct), time_ns, ledger, deliver);
            from = direct;
        }
        if from < to {
            let added = self.waiting().store.insert(from, part(segment.payload, start, from..to), time_ns);
            let duplicate = to.saturating_sub(from).saturating_sub(added);
            add(&mut ledger.duplicate_bytes, duplicate);
            add(&mut ledger.held_bytes, added);
        }

        let cut_end = start.saturating_add(u64::from(segment.payload_len)).min(last);
        let cut_start = end.max(first);
        if cut_start < cut_end {
            self.waiting().cut(cut_start..cut_end, time_ns);
        }
    }

    /// Lets the connection end at `position`, if that is not in what was handed on already: a receiver takes
    /// neither a FIN nor a RST from before its window (RFC 9293 section 3.10.7.4).
    fn end_at(&mut self, position: u64, kind: EndKind, time_ns: u64) {
        let is_earlier = self.end().is_none_or(|end| position < end.position);
        if is_earlier && (!self.started || position >= self.next) {
            self.waiting().end = Some(End { position, kind, time_ns });
        }
    }

    /// Starts the stream at `position`.
    fn start_at(
        &mut self,
        position: u64,
        from_syn: bool,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        self.next_seq = advanced(self.next_seq, position.wrapping_sub(self.next));
        self.next = position;
        self.started = true;
        self.start = position;
        let discarded = self.discard_below(position, ledger);
        add(&mut ledger.before_start_bytes, discarded);
        deliver(StreamEvent::Start { from_syn });
    }

    /// Gives up the start or the first hole: the stream goes on with the lowest thing that waits. `false` if
    /// nothing does.
    fn give_up(&mut self, ledger: &mut StreamLedger, deliver: &mut impl FnMut(StreamEvent<'_>)) -> bool {
        if self.ended().is_some() {
            return false;
        }
        let Some(to) = self.waiting.as_ref().and_then(|waiting| waiting.first_position()) else {
            return false;
        };
        if self.started {
            self.pass_over(to, ledger, deliver);
        } else {
            self.start_at(to, false, ledger, deliver);
        }
        self.drain(ledger, deliver);
        true
    }

    /// Hands on what is in order.
    fn drain(&mut self, ledger: &mut StreamLedger, deliver: &mut impl FnMut(StreamEvent<'_>)) {
        while let Some(waiting) = &mut self.waiting {
            if let Some(Chunk { bytes, time_ns }) = waiting.store.take(self.next) {
                ledger.held_bytes = ledger.held_bytes.saturating_sub(bytes.len() as u64);
                self.hand_on(&bytes, time_ns, ledger, deliver);
            } else if let Some(to) = waiting.cut_at(self.next) {
                self.pass_over(to, ledger, deliver);
            } else if let Some(to) = waiting.first_position().map(|first| first.min(self.ordered))
                && to > self.next
            {
                self.pass_over(to, ledger, deliver);
            } else {
                return;
            }
        }
    }

    /// Hands on `bytes`, which come next.
    fn hand_on(
        &mut self,
        bytes: &[u8],
        time_ns: u64,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        if !bytes.is_empty() {
            let len = bytes.len() as u64;
            add(&mut ledger.used_bytes, len);
            self.advance_to(self.next.saturating_add(len));
            deliver(StreamEvent::Data { bytes, time_ns });
        }
    }

    /// Hands on that what comes next is missing, up to `to`: skipped on order as far as the window goes, and a gap
    /// behind it.
    fn pass_over(&mut self, to: u64, ledger: &mut StreamLedger, deliver: &mut impl FnMut(StreamEvent<'_>)) {
        let from = self.next;
        if from < to {
            self.waiting().remember_gap(from..to);
        }
        let skipped = to.min(self.ordered).saturating_sub(from);
        if skipped > 0 {
            add(&mut ledger.skipped_bytes, skipped);
            self.advance_to(from.saturating_add(skipped));
            deliver(StreamEvent::Skipped { bytes: skipped });
        }
        let bytes = to.saturating_sub(self.next);
        if bytes > 0 {
            add(&mut ledger.gaps, 1);
            add(&mut ledger.gap_bytes, bytes);
            self.advance_to(to);
            deliver(StreamEvent::Gap { bytes });
        }
    }

    /// Moves on to position `to`.
    fn advance_to(&mut self, to: u64) {
        self.next_seq = advanced(self.next_seq, to.wrapping_sub(self.next));
        self.next = to;
        if let Some(waiting) = &mut self.waiting {
            waiting.forget_cut_below(to);
        }
    }

    /// Discards what waits below `position`. Returns how many bytes.
    fn discard_below(&mut self, position: u64, ledger: &mut StreamLedger) -> u64 {
        let discarded = self.waiting.as_mut().map_or(0, |waiting| waiting.discard_below(position));
        ledger.held_bytes = ledger.held_bytes.saturating_sub(discarded);
        discarded
    }
}

#[cfg(test)]
mod tests;
