//! Where a stream ends. See the documentation of the stream.

use toa_common::wire::tcp::{RST, SYN};

use super::{EndKind, Stream, context::Context, pending::End, position::first_byte};
use crate::{ledger::add, segment::Segment};

impl Stream {
    /// Returns how the connection ended, once everything before the end was handed on.
    pub fn ended(&self) -> Option<EndKind> {
        self.end().filter(|end| self.started && end.position <= self.next).map(|end| end.kind)
    }

    /// Returns whether a segment of an ended stream continues it, so that it has not ended.
    pub fn is_continued_by(&self, segment: &Segment<'_>) -> bool {
        let start = self.position(first_byte(segment));
        let end = start.saturating_add(segment.payload.len() as u64);
        segment.flags & (SYN | RST) == 0 && start <= self.next && end > self.next
    }

    /// Ends the connection with a RST at `position`: only at the next byte (RFC 5961 section 3.2), or after the FIN.
    pub(super) fn reset(&mut self, position: u64, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let after_fin = self.ended() == Some(EndKind::Fin) && position == self.next.saturating_add(1);
        // Which byte of a bypassed window comes next, only the kernel knows.
        let in_bypass = !segment.is_stray && (self.next..=self.bypassed).contains(&position);
        if in_bypass {
            self.pass_over(position, cx);
        }
        if !self.started && position == self.front() {
            self.end_at(position, EndKind::Rst, segment.time_ns);
        } else if self.started && (position == self.next || after_fin) {
            self.pending().end =
                Some(End { position: self.next, kind: EndKind::Rst, time_ns: segment.time_ns });
        } else {
            add(&mut cx.ledger.stray_resets, 1);
        }
    }

    /// Ends the connection at `position`, unless bytes after it were handed on already or, before the stream starts, have
    /// arrived: a receiver does not accept a FIN from before its window (RFC 9293 section 3.10.7.4).
    pub(super) fn end_at(&mut self, position: u64, kind: EndKind, time_ns: u64) {
        let is_earlier = self.end().is_none_or(|end| position < end.position);
        if is_earlier && position >= self.lowest() {
            self.pending().end = Some(End { position, kind, time_ns });
        }
    }

    /// Returns the lowest position at which the connection may end: that of the next byte or, before the start, the end of
    /// the first bytes that have arrived.
    pub(super) fn lowest(&self) -> u64 {
        let front = self.pending.as_ref().and_then(|pending| pending.chunks.front());
        if self.started { self.next } else { front.map_or(0, |front| front.end) }
    }
}
