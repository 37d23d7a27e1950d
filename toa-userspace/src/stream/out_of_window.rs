//! Responsible for finding the stream again when so much of it was lost that nothing fits any more. Not responsible for
//! holes, which are smaller than a window.
//!
//! If nobody reads the rings for long, a connection may go on by more than the largest window meanwhile. One segment
//! that lies outside says nothing: anybody may send it. Many in a row, with none inside between them, are the stream.

use super::{Stream, context::Context, position::WINDOW};
use crate::ledger::add;

/// How many segments with payload must lie outside in a row to be believed.
const BELIEVED: u8 = 16;

/// Positions after which the same sequence number comes again.
const CYCLE: u64 = 1 << 32;

impl Stream {
    /// Whether a segment that begins at `start` lies where this stream cannot be.
    pub(super) fn is_out_of_window(&self, start: u64) -> bool {
        let ahead = self.next.max(self.bypassed).saturating_add(WINDOW);
        start > ahead || start < self.next.saturating_sub(WINDOW)
    }

    /// Counts a segment of `len` bytes that lies outside. Returns where it lies if it is to be believed: the stream has
    /// gone there.
    pub(super) fn resynchronise(&mut self, start: u64, len: u64, cx: &mut Context<'_>) -> Option<u64> {
        self.out_of_window = self.out_of_window.saturating_add(u8::from(len > 0));
        if self.out_of_window < BELIEVED || !self.started {
            add(&mut cx.ledger.out_of_window_bytes, len);
            return None;
        }
        self.give_up_all(cx);
        // What seems to lie behind lies a cycle ahead.
        let to = if start < self.next { start.saturating_add(CYCLE) } else { start };
        self.pass_over(to, cx);
        Some(to)
    }
}
