//! Resynchronisation after losses so large that no segment fits the window any more.
//!
//! If the rings are not read for a long time, a connection may advance by more than the largest window. A single
//! segment outside the window proves nothing, because anyone can send one. Many in a row, with none inside the window
//! between them, are the stream.

use super::{Stream, context::Context, position::WINDOW};
use crate::ledger::add;

/// How many consecutive segments with payload must lie outside the window before the stream moves there.
const BELIEVED: u8 = 16;

/// Number of positions after which a sequence number repeats.
const CYCLE: u64 = 1 << 32;

impl Stream {
    /// Returns whether a segment that begins at `start` lies outside the window.
    pub(super) fn is_out_of_window(&self, start: u64) -> bool {
        let ahead = self.next.max(self.bypassed).saturating_add(WINDOW);
        start > ahead || start < self.next.saturating_sub(WINDOW)
    }

    /// Counts a segment of `len` bytes outside the window. Returns its position if there were enough of them; the
    /// stream has then moved there.
    pub(super) fn resynchronise(&mut self, start: u64, len: u64, cx: &mut Context<'_>) -> Option<u64> {
        self.out_of_window = self.out_of_window.saturating_add(u8::from(len > 0));
        if self.out_of_window < BELIEVED || !self.started {
            add(&mut cx.ledger.out_of_window_bytes, len);
            return None;
        }
        self.give_up_all(cx);
        // A position that seems to be behind `next` is one cycle ahead.
        let to = if start < self.next { start.saturating_add(CYCLE) } else { start };
        self.pass_over(to, cx);
        Some(to)
    }
}
