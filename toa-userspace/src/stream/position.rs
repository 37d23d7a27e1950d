//! Positions in a stream: sequence numbers widened to 64 bits.

use std::ops::Range;

use toa_common::{flow::WINDOW_BYTES, seq::Seq, wire::tcp::SYN};

use crate::segment::{Segment, Start};

/// Position of the first segment's first byte. Positions are 64 bits wide, so they do not wrap, and there is room below
/// for segments that precede the first one.
pub(super) const ORIGIN: u64 = 1 << 32;

/// How far a segment may be from the next expected byte.
pub(super) const WINDOW: u64 = WINDOW_BYTES as u64;

/// Returns the sequence number of the first byte of a segment's payload.
pub(super) fn first_byte(segment: &Segment<'_>) -> Seq {
    segment.seq + u32::from(segment.flags & SYN != 0)
}

/// Returns the sequence number of a stream's first byte, as far as the segment shows.
pub(super) fn origin(segment: &Segment<'_>) -> Seq {
    match segment.start {
        Start::Known(seq) => seq,
        Start::Data(_) | Start::Unknown => first_byte(segment),
    }
}

/// Returns the sequence number `bytes` after `seq`.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are counted modulo 2^32")]
pub(super) fn advanced(seq: Seq, bytes: u64) -> Seq {
    seq + bytes as u32
}

/// Returns the bytes at the positions of `range` in a payload that begins at `start`.
pub(super) fn part(payload: &[u8], start: u64, range: Range<u64>) -> &[u8] {
    let index = |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
    payload.get(index(range.start)..index(range.end)).unwrap_or_default()
}
