//! What a stream keeps while bytes of it are missing, and afterwards. It is apart from [`super::Stream`] because most
//! streams miss nothing.

use std::ops::Range;

use super::{assembler::Assembler, chunks::Chunks, event::EndKind, urgent::Urgent};

/// How many gaps a stream remembers to distinguish late bytes from duplicates.
const REMEMBERED_GAPS: usize = 16;

/// Where a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) kind: EndKind,
    pub(super) time_ns: u64,
}

/// What waits and what is remembered.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Data that waits for a hole to be filled, or for the start of the stream.
    pub(super) chunks: Chunks,
    /// Ranges that the kernel cut off. Another segment may still contain them, but the stream does not wait for that.
    cut: Assembler,
    /// When the latest range was cut off.
    cut_ns: u64,
    /// Ranges that the stream passed over most recently: gaps and bypassed bytes.
    gaps: Assembler,
    pub(super) end: Option<End>,
    pub(super) urgent: Urgent,
}

impl Pending {
    /// Returns whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.ranges() == 0
            && self.cut.is_empty()
            && self.gaps.is_empty()
            && self.end.is_none()
            && self.urgent.is_empty()
    }

    /// Returns the lowest position of waiting data, a cut-off range or the end.
    pub(super) fn first_position(&self) -> Option<u64> {
        let cut = self.cut.first().map(|range| range.start);
        let end = self.end.map(|end| end.position);
        [self.chunks.first_position(), cut, end].into_iter().flatten().min()
    }

    /// Returns when the oldest waiting item arrived.
    pub(super) fn since_ns(&self) -> Option<u64> {
        let chunk_ns = self.chunks.first().map(|chunk| chunk.arrival.time_ns);
        let cut_ns = (!self.cut.is_empty()).then_some(self.cut_ns);
        let end_ns = self.end.map(|end| end.time_ns);
        [chunk_ns, cut_ns, end_ns].into_iter().flatten().min()
    }

    /// Returns how many ranges wait, each with a hole before it.
    pub(super) fn ranges(&self) -> usize {
        self.chunks.ranges().max(self.cut.len())
    }

    /// Records that the kernel cut `range` off.
    pub(super) fn cut(&mut self, range: Range<u64>, time_ns: u64) {
        self.cut.insert(range, |_| ());
        self.cut_ns = time_ns;
    }

    /// Returns the end of the range that was cut off at `position`, or the position of the first waiting data if that
    /// is lower.
    pub(super) fn cut_at(&self, position: u64) -> Option<u64> {
        let cut = self.cut.first().filter(|cut| cut.start <= position)?;
        Some(cut.end.min(self.chunks.first_position().unwrap_or(u64::MAX)))
    }

    /// Remembers that the stream passed over `range`.
    pub(super) fn remember_gap(&mut self, range: Range<u64>) {
        self.gaps.insert(range, |_| ());
        if self.gaps.len() > REMEMBERED_GAPS {
            self.gaps.forget_first();
        }
    }

    /// Returns how many bytes of `range` the stream passed over.
    pub(super) fn in_gaps(&self, range: &Range<u64>) -> u64 {
        self.gaps.covered(range)
    }

    /// Discards everything that waits below `position`. Returns how many bytes were discarded.
    pub(super) fn discard_below(&mut self, position: u64) -> u64 {
        self.cut.forget_below(position);
        self.chunks.discard_below(position)
    }

    /// Removes what was cut off below `position`.
    pub(super) fn forget_cut_below(&mut self, position: u64) {
        self.cut.forget_below(position);
    }
}
