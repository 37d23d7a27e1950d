//! Responsible for places in a stream: sequence numbers made wide, and the bytes at a place. Not responsible for
//! what is there.

use std::ops::Range;

use toa_common::{seq::Seq, wire::tcp::SYN};

use crate::segment::Segment;

/// Position of the byte that the first segment names. Positions are 64 bits wide, so that nothing wraps; what
/// comes before the first segment has room below.
pub(super) const ORIGIN: u64 = 1 << 32;

/// The largest window of TCP, in bytes (RFC 7323 section 2.3): no true segment lies further ahead.
pub(super) const WINDOW: u64 = 1 << 30;

/// The sequence number of a segment's first byte of payload.
pub(super) fn first_byte(segment: &Segment<'_>) -> Seq {
    segment.seq + u32::from(segment.flags & SYN != 0)
}

/// The number `bytes` further on.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are counted modulo 2^32")]
pub(super) fn advanced(seq: Seq, bytes: u64) -> Seq {
    seq + bytes as u32
}

/// The bytes at the positions of `range` in a payload that begins at `start`.
pub(super) fn part(payload: &[u8], start: u64, range: Range<u64>) -> &[u8] {
    let index = |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
    payload.get(index(range.start)..index(range.end)).unwrap_or_default()
}
