//! How long a stream waits for what is missing, and what it does then.

use super::{Stream, context::Context};
use crate::{ledger::add, limits::Limits};

impl Stream {
    /// Returns when to call [`Self::expire`] if nothing arrives before, in nanoseconds since the Unix epoch. `is_start`
    /// says whether bytes look like the start of a message.
    pub fn deadline(
        &self,
        now_ns: u64,
        limits: &Limits,
        is_start: impl FnOnce(&[u8]) -> bool,
    ) -> Option<u64> {
        let since_ns = self.waiting_since_ns()?;
        if !self.started {
            return Some(since_ns.saturating_add(self.start_limit_ns(limits, is_start)));
        }
        let hole_ns = since_ns.saturating_add(limits.hole_ns);
        Some(if hole_ns > now_ns {
            hole_ns
        } else {
            now_ns.saturating_add(limits.hole_ns).min(since_ns.saturating_add(limits.patience_ns))
        })
    }

    /// Gives up what was waited for in vain at `now_ns`: an open start after its deadline, and a hole if the rings have
    /// lost packets since it began, or after a long time.
    pub fn expire(&mut self, now_ns: u64, is_start: impl Fn(&[u8]) -> bool, cx: &mut Context<'_>) {
        while let Some(since_ns) = self.waiting_since_ns() {
            let limits = cx.limits;
            let is_over = |limit_ns| since_ns.saturating_add(limit_ns) <= now_ns;
            let is_hole = self.started;
            let is_due = if is_hole {
                let is_lost =
                    cx.lost_ns.is_some_and(|lost_ns| lost_ns.saturating_add(limits.hole_ns) >= since_ns);
                let is_unread = is_lost || self.next == self.fragment_end;
                is_over(limits.patience_ns) || (is_unread && is_over(limits.hole_ns))
            } else {
                is_over(self.start_limit_ns(limits, &is_start))
            };
            if !is_due || !self.give_up(cx) {
                break;
            }
            add(&mut cx.ledger.hole_timeouts, u64::from(is_hole));
        }
        self.tidy();
    }

    /// Returns since when something waits, in nanoseconds since the Unix epoch. As long as bytes are handed on in order,
    /// the sender may still fill a hole that is far ahead.
    pub(super) fn waiting_since_ns(&self) -> Option<u64> {
        self.pending.as_ref()?.since_ns().map(|since_ns| since_ns.max(self.progress_ns))
    }

    pub(super) fn start_limit_ns(&self, limits: &Limits, is_start: impl FnOnce(&[u8]) -> bool) -> u64 {
        let first = self.pending.as_ref().and_then(|pending| pending.chunks.first());
        if first.is_some_and(|chunk| is_start(&chunk.bytes)) { limits.settle_ns } else { limits.start_ns }
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

    /// Gives up the open start or the first hole. The stream continues with the lowest position that waits. Returns
    /// `false` if nothing waits.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ended().is_some() {
            return false;
        }
        let Some(to) = self.pending.as_ref().and_then(|pending| pending.first_position()) else {
            return false;
        };
        if self.started {
            self.pass_over(to, cx);
        } else {
            self.start_at(self.named.map_or(to, |named| named.min(to)), cx);
        }
        self.drain(cx);
        true
    }
}
