//! Resynchronisation after losses so large that no segment fits the window any more.
//!
//! If the rings are not read for a long time, a connection may advance by more than the largest window. A single
//! segment outside the window proves nothing, because anyone can send one. Many in a row, each continuing the one before
//! and with none inside the window between them, are the stream.

use toa_common::flow::MAX_STRAYS;

use super::{
    Stream,
    context::Context,
    position::{WINDOW, first_byte},
};
use crate::{ledger::add, segment::Segment};

/// Number of positions after which a sequence number repeats.
const CYCLE: u64 = 1 << 32;

impl Stream {
    /// Returns whether a segment that begins at `start` lies outside the window.
    pub(super) fn is_out_of_window(&self, start: u64) -> bool {
        let ahead = self.next.max(self.bypassed).saturating_add(WINDOW);
        start > ahead || start < self.next.saturating_sub(WINDOW)
    }

    /// Counts a segment outside the window. Returns its position if there were enough of them; the stream has then moved
    /// there.
    pub(super) fn resynchronise(
        &mut self,
        start: u64,
        segment: &Segment<'_>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        if segment.payload_len > 0 {
            let continues = first_byte(segment) == self.stray_seq;
            self.strays = if continues { self.strays.saturating_add(1) } else { 1 };
            self.stray_seq = first_byte(segment) + segment.payload_len;
        }
        if u32::from(self.strays) < MAX_STRAYS || !self.started || segment.payload_len == 0 {
            add(&mut cx.ledger.out_of_window_bytes, segment.payload.len() as u64);
            return None;
        }
        self.give_up_all(cx);
        // A position that seems to be before `next` is one cycle ahead.
        let to = if start < self.next { start.saturating_add(CYCLE) } else { start };
        self.pass_over(to, cx);
        Some(to)
    }
}
