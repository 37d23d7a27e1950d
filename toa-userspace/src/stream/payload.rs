//! From the payload of segments to bytes in order.

use super::{
    Arrival, Stream, StreamEvent, chunks::Chunk, context::Context, history::History, position::part,
    urgent::Reading,
};
use crate::{ledger::add, segment::Segment};

impl Stream {
    /// Handles each part of the payload, which begins at `start`: old, in order, or ahead of `next`.
    pub(super) fn take_payload(&mut self, start: u64, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let payload = segment.payload;
        let end = start.saturating_add(payload.len() as u64);
        let first = if self.started { self.next } else { 0 };
        if let Some(ended) = self.end()
            && end > ended.position
        {
            if start <= ended.position {
                if self.ended().is_some() {
                    (cx.deliver)(StreamEvent::Reopened);
                }
                self.pending().end = None;
            } else if self.ended().is_some() {
                return add(&mut cx.ledger.after_end_bytes, payload.len() as u64);
            }
        }
        if segment.details.is_fragment {
            self.fragment_end = end;
        }
        if let Some(offset) = segment.details.urgent {
            let expected = if self.started { self.next } else { self.front() };
            self.pending().urgent.note(start.saturating_add(u64::from(offset)), expected);
        }

        let old = start..end.min(first).max(start);
        // A keep-alive probe may have a byte of garbage (RFC 9293 section 3.8.4).
        let is_probe = payload.len() == 1 && end == self.next;
        let again = if is_probe { &[] } else { part(payload, start, old.clone()) };
        // Where it precedes the first byte, the server has its sequence number: it is the SYN's.
        let first_byte = if is_probe { old.start } else { self.start };
        if !old.is_empty() {
            self.count_old(old.clone(), again, first_byte, cx);
        }
        let mut from = old.end;
        let arrival = Arrival { time_ns: segment.time_ns, ack: segment.details.ack };
        if self.started && from == self.next && from < end {
            let new = part(payload, start, from..end);
            let conflicting = self.pending.as_ref().map_or(0, |pending| pending.chunks.differing(from, new));
            let doubtful = if segment.is_doubtful { new.len() as u64 } else { 0 };
            report_conflict(conflicting.max(doubtful), cx);
            self.hand_on(new, arrival, cx);
            from = end;
            if self.pending.is_some() {
                let duplicate = self.discard_below(end, cx);
                add(&mut cx.ledger.duplicate_bytes, duplicate.saturating_sub(conflicting));
                add(&mut cx.ledger.conflicting_bytes, conflicting);
            }
        }
        if from < end {
            let (bytes, is_started) = (part(payload, start, from..end), self.started);
            let chunks = &mut self.pending().chunks;
            let inserted = if is_started {
                chunks.insert(from, bytes, arrival)
            } else {
                chunks.insert_before_start(from, bytes, arrival)
            };
            if segment.is_doubtful {
                chunks.doubt(from..end);
            }
            let duplicate = end.saturating_sub(from).saturating_sub(inserted.added);
            add(&mut cx.ledger.duplicate_bytes, duplicate.saturating_sub(inserted.conflicting));
            add(&mut cx.ledger.conflicting_bytes, inserted.conflicting);
            add(&mut cx.ledger.held_bytes, inserted.added);
        }

        let cut_end = start.saturating_add(u64::from(segment.payload_len));
        let cut_start = end.max(first);
        if cut_start < cut_end {
            self.pending().cut(cut_start..cut_end, segment.time_ns);
        }
    }

    /// Counts the positions `old`, which were handed on or passed over or are before `first`, and compares `bytes` with what was
    /// there.
    fn count_old(&mut self, old: std::ops::Range<u64>, bytes: &[u8], first: u64, cx: &mut Context<'_>) {
        let before = old.end.min(first).saturating_sub(old.start);
        let late = self.pending.as_ref().map_or(0, |pending| pending.in_gaps(&old));
        let again = old.end.saturating_sub(old.start).saturating_sub(before).saturating_sub(late);
        let differing = self.history.as_ref().map_or(0, |history| history.differing(old.start, bytes));
        let conflicting = if late == 0 { differing.min(again) } else { 0 };
        add(&mut cx.ledger.before_start_bytes, before);
        add(&mut cx.ledger.late_bytes, late);
        add(&mut cx.ledger.duplicate_bytes, again.saturating_sub(conflicting));
        add(&mut cx.ledger.conflicting_bytes, conflicting);
        report_conflict(conflicting, cx);
    }

    /// Hands on what is in order.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(pending) = &mut self.pending {
            if let Some(Chunk { bytes, arrival, conflicting, .. }) = pending.chunks.take(self.next) {
                cx.ledger.held_bytes = cx.ledger.held_bytes.saturating_sub(bytes.len() as u64);
                report_conflict(conflicting, cx);
                self.hand_on(&bytes, arrival, cx);
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

    /// Hands on `bytes`, the next bytes of the stream, except urgent ones.
    fn hand_on(&mut self, bytes: &[u8], arrival: Arrival, cx: &mut Context<'_>) {
        if bytes.is_empty() {
            return;
        }
        let start = self.next;
        self.history.get_or_insert_with(|| Box::new(History::new(start))).record(start, bytes);
        self.progress_ns = self.progress_ns.max(arrival.time_ns);
        self.advance_to(start.saturating_add(bytes.len() as u64));
        let (mut from, end) = (start, self.next);
        while from < end {
            let urgent = self.pending.as_mut().and_then(|pending| pending.urgent.take_below(end));
            let urgent = match urgent {
                Some((_, Reading::InStream)) => continue,
                Some((position, reading)) => {
                    report_conflict(u64::from(reading == Reading::Unknown), cx);
                    Some(position)
                }
                None => None,
            };
            let to = urgent.unwrap_or(end);
            let bytes = part(bytes, start, from..to);
            if !bytes.is_empty() {
                add(&mut cx.ledger.used_bytes, bytes.len() as u64);
                (cx.deliver)(StreamEvent::Data { bytes, arrival });
            }
            add(&mut cx.ledger.urgent_bytes, u64::from(urgent.is_some_and(|urgent| urgent >= from)));
            // One before `from` was in a gap.
            from = from.max(to.saturating_add(1));
        }
    }

    /// Reports everything up to `to` as missing: the bypassed window first, and the rest as a gap.
    pub(super) fn pass_over(&mut self, to: u64, cx: &mut Context<'_>) {
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
            self.pending().urgent.pass_gap();
            add(&mut cx.ledger.gaps, 1);
            add(&mut cx.ledger.gap_bytes, bytes);
            self.advance_to(to);
            (cx.deliver)(StreamEvent::Gap { bytes });
        }
    }

    /// Discards data that waits below `position`. Returns how many bytes were discarded.
    pub(super) fn discard_below(&mut self, position: u64, cx: &mut Context<'_>) -> u64 {
        let discarded = self.pending.as_mut().map_or(0, |pending| pending.discard_below(position));
        cx.ledger.held_bytes = cx.ledger.held_bytes.saturating_sub(discarded);
        discarded
    }
}

fn report_conflict(bytes: u64, cx: &mut Context<'_>) {
    if bytes > 0 {
        (cx.deliver)(StreamEvent::Conflict { bytes });
    }
}
