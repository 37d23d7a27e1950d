//! What is kept from one head to the next.

use std::ops::Range;

use super::known_lines::{KnownLines, Place};

/// A part of a head, as a range of its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(start), end: position(end) }
    }

    /// Returns a range within a line that begins at `start`.
    #[inline]
    pub(super) fn within(start: usize, range: Range<u32>) -> Self {
        // No head has 4 GiB.
        let start = start as u32;
        Self { start: start.wrapping_add(range.start), end: start.wrapping_add(range.end) }
    }

    /// Returns the range from the start of this one to the end of `last`.
    pub(super) fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }

    /// Returns the range that is this many bytes later.
    pub(super) fn after(self, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { start: self.start.saturating_add(bytes), end: self.end.saturating_add(bytes) }
    }

    pub(super) fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// The parts of a field's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldSpans {
    pub(super) name: Span,
    pub(super) value: Span,
    /// Where the line is remembered.
    pub(super) place: Option<Place>,
    /// Of the name: see [`FieldLine::name_print`](super::field_line::FieldLine::name_print).
    pub(super) name_print: u32,
}

/// What is kept from one head to the next, so that reading one allocates nothing and costs little if it has the same
/// lines as others before.
#[derive(Debug, Default)]
pub struct HeadMemory {
    /// Memory for the names and values of a head.
    pub(super) spans: Vec<FieldSpans>,
    /// What was read in lines.
    pub(super) lines: KnownLines,
    /// Memory for a field that is being decoded.
    pub(super) decoded: Vec<u8>,
}
