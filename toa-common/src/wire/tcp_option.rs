//! The walk over a packet's TCP options (RFC 9293 section 3.2).

use core::fmt;

use super::{
    toa_pairs::{Class, is_fast_open, is_signed, is_toa, unselected},
    view::PacketView,
};
use crate::{
    field::ne32,
    limits::MAX_OPTIONS_BYTES,
    verifier::{black_box, unknown},
};

/// End of the option list: nothing after it is an option.
const EOL: u8 = 0;
/// Padding of one byte.
const NOP: u8 = 1;

/// `NOP NOP` and the kind and length of the timestamp option (RFC 7323 appendix A). Almost every data packet has only
/// these options, which then need no walk.
const BARE_TIMESTAMP: u32 = u32::from_ne_bytes([NOP, NOP, 8, 10]);
/// Length of [`BARE_TIMESTAMP`] with the option's value, in bytes.
const BARE_TIMESTAMP_LEN: u32 = 12;

/// Why a walk ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// All options were walked.
    End,
    /// An end-of-list option.
    EndOfList,
    /// A length below 2, which no option can have.
    TooShort,
    /// A length that reaches past the option area, or a missing length byte.
    PastEnd,
    /// The packet ends before the options that its header announces.
    Truncated,
}

impl Stop {
    /// Returns whether the sender wrote options that no receiver can read.
    #[inline(always)]
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::TooShort | Self::PastEnd)
    }
}

/// The result of a walk. Positions are in bytes from the start of the options.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Walk {
    /// One bit for the position of each selected option, the lowest for position 0. An error after an option does not
    /// clear its bit.
    hits: u64,
    /// The classes of all options that were found.
    classes: u32,
    /// Bits 0-7: where the walk ended; bits 8-15: why. Packed so that the verifier tracks one unknown.
    end: u32,
}

impl Walk {
    /// Returns the result for a packet without options to walk.
    #[inline(always)]
    pub fn none() -> Self {
        // A zero that is unknown to the compiler, or it would call `memset`, which writes byte by byte.
        let zero = black_box(0);
        Self { hits: zero, classes: zero as u32, end: zero as u32 }
    }

    const fn new(hits: u64, stop: Stop, end: u32) -> Self {
        Self { hits, classes: 0, end: (stop as u32) << 8 | end }
    }

    /// Returns whether there is a selected option.
    #[inline(always)]
    pub fn has_hit(self) -> bool {
        self.hits != 0
    }

    /// Returns whether there are several selected options.
    #[inline(always)]
    pub fn has_several(self) -> bool {
        self.hits & self.hits.wrapping_sub(1) != 0
    }

    /// Returns the positions of the selected options.
    #[inline(always)]
    pub fn hits(self) -> impl DoubleEndedIterator<Item = u32> {
        Hits(self.hits)
    }

    /// Returns one bit for each of [`KNOWN_PAIRS`](super::toa_pairs::KNOWN_PAIRS) that was found and is not selected.
    #[inline(always)]
    pub fn unselected(self) -> u32 {
        unselected(self.classes)
    }

    /// Returns whether an option signs the segment.
    #[inline(always)]
    pub fn is_signed(self) -> bool {
        is_signed(self.classes)
    }

    /// Returns whether there is a TCP Fast Open cookie.
    #[inline(always)]
    pub fn is_fast_open(self) -> bool {
        is_fast_open(self.classes)
    }

    /// Returns why the walk ended.
    #[inline(always)]
    pub fn stop(self) -> Stop {
        match self.end >> 8 {
            0 => Stop::End,
            1 => Stop::EndOfList,
            2 => Stop::TooShort,
            3 => Stop::PastEnd,
            _ => Stop::Truncated,
        }
    }

    /// Returns the position at which the walk ended.
    #[inline(always)]
    pub fn end(self) -> u32 {
        self.end & 63
    }
}

/// An iterator over the positions of selected options, from either end.
struct Hits(u64);

impl Iterator for Hits {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        let position = self.0.trailing_zeros() & 63;
        let found = self.0 != 0;
        self.0 &= !(1 << position);
        found.then_some(position)
    }
}

impl DoubleEndedIterator for Hits {
    #[inline(always)]
    fn next_back(&mut self) -> Option<u32> {
        let position = (self.0.leading_zeros() & 63) ^ 63;
        let found = self.0 != 0;
        self.0 &= !(1 << position);
        found.then_some(position)
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("hits", &format_args!("{:#b}", self.hits))
            .field("unselected", &format_args!("{:#b}", self.unselected()))
            .field("stop", &self.stop())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// Returns whether the `len` bytes of options at `offset` contain anything besides a bare timestamp.
#[inline(always)]
pub fn worth_walking<P: PacketView>(packet: &P, offset: u32, len: u32) -> bool {
    len > BARE_TIMESTAMP_LEN
        || (len != 0 && !(len == BARE_TIMESTAMP_LEN && begins_with_timestamp(packet, offset)))
}

/// Returns whether there is a bare timestamp at `offset`. No run can select it as TOA.
#[inline(always)]
fn begins_with_timestamp<P: PacketView>(packet: &P, offset: u32) -> bool {
    packet.bytes(offset).is_some_and(|first| ne32(first) == BARE_TIMESTAMP)
}

/// Walks the `len` bytes of options at `offset` and records those for whose kind and length `class_of` returns a class
/// other than 0.
///
/// Options are found by following their lengths, never by searching for their bytes: a timestamp may contain any bytes.
///
/// Each step's result and the new position are unknown to the verifier. Otherwise it would continue from every
/// combination of position and earlier results.
#[inline(always)]
pub fn walk<P: PacketView>(packet: &P, offset: u32, len: u32, class_of: impl Fn(u8, u8) -> Class) -> Walk {
    // No length follows the last byte, so it is handled separately.
    let Some(last) = len.checked_sub(1) else {
        return Walk::none();
    };
    let options = packet.at(offset);
    let zero = unknown(0);
    let (mut hits, mut classes, mut stop) = (u64::from(zero), zero, Stop::End);
    let has_timestamp = len >= BARE_TIMESTAMP_LEN && begins_with_timestamp(&options, 0);
    let mut end = unknown(if has_timestamp { BARE_TIMESTAMP_LEN } else { 0 }) & 63;
    for _ in 0..MAX_OPTIONS_BYTES {
        if end >= last {
            break;
        }
        let Some(&[kind, length]) = options.bytes(end) else {
            stop = Stop::Truncated;
            break;
        };
        if kind == EOL {
            stop = Stop::EndOfList;
            break;
        }
        let mut advance = 1;
        if kind != NOP {
            advance = u32::from(length);
            if advance < 2 {
                stop = Stop::TooShort;
                break;
            }
            if advance > len.wrapping_sub(end) {
                stop = Stop::PastEnd;
                break;
            }
            let class = class_of(kind, length);
            if class != 0 {
                hits |= u64::from(is_toa(class)) << end;
                classes |= class;
            }
        }
        end = unknown(end.wrapping_add(advance)) & 63;
    }
    if end == last && stop == Stop::End {
        // Views two bytes and uses the second, because a view of one byte gives the verifier no range. Another byte
        // always precedes the last one, because option areas are multiples of 4 bytes.
        match options.bytes(last.wrapping_sub(1)) {
            Some([_, EOL]) => stop = Stop::EndOfList,
            Some([_, NOP]) => end = len,
            Some(_) => stop = Stop::PastEnd,
            None => stop = Stop::Truncated,
        }
    }
    Walk { end: unknown(Walk::new(0, stop, end).end), hits, classes: unknown(classes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::view::Captured;

    const TOA: Class = 1 << 16;

    fn walk_bytes(bytes: &[u8]) -> Walk {
        let len = u32::try_from(bytes.len()).unwrap();
        walk(&Captured { bytes, wire_len: len }, 0, len, |kind, length| match (kind, length) {
            (254, 8) => TOA,
            (200, 3) => 1 << 3,
            (28, 2) => 1 << 8,
            // A NOP is never classified, whatever follows it.
            (1, _) => u32::MAX,
            _ => 0,
        })
    }

    #[test]
    fn an_option_is_found_behind_others() {
        let walk = walk_bytes(&[2, 4, 5, 0xb4, 254, 8, 0xd4, 0x31, 203, 0, 113, 9]);
        assert_eq!(walk, Walk { classes: TOA, ..Walk::new(1 << 4, Stop::End, 12) });
    }

    #[test]
    fn what_is_known_and_not_selected_is_told() {
        let walk = walk_bytes(&[1, 28, 2, 200, 3, 7, 254, 8, 0xd4, 0x31, 203, 0, 113, 9, 28, 2]);
        assert_eq!(
            (walk.unselected(), walk.hits().next(), walk.has_several()),
            (1 << 3 | 1 << 8, Some(6), false)
        );
        assert_eq!(walk_bytes(&[1, 1, 1, 1]).unselected(), 0);
    }

    #[test]
    fn a_leading_timestamp_is_passed_over() {
        let mut bytes = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 254, 8, 0xd4, 0x31, 203, 0, 113, 9];
        assert_eq!(walk_bytes(&bytes), Walk { classes: TOA, ..Walk::new(1 << 12, Stop::End, 20) });
        assert_eq!(walk_bytes(&bytes[..12]), Walk::new(0, Stop::End, 12));
        assert_eq!(walk_bytes(&bytes[..8]), Walk::new(0, Stop::PastEnd, 2));
        bytes[3] = 11;
        assert_eq!(walk_bytes(&bytes), Walk::new(0, Stop::PastEnd, 13));
    }

    #[test]
    fn hits_are_found_from_either_end() {
        let hits = || Hits(1 << 4 | 1 << 12 | 1 << 39);
        assert!(hits().eq([4, 12, 39]));
        assert!(hits().rev().eq([39, 12, 4]));
    }

    #[test]
    fn a_lone_last_byte_has_no_length() {
        assert_eq!(walk_bytes(&[1, 1, 1, 254]).stop(), Stop::PastEnd);
        assert_eq!(walk_bytes(&[1, 1, 1, 0]).stop(), Stop::EndOfList);
        assert_eq!(walk_bytes(&[1, 1, 1, 1]), Walk::new(0, Stop::End, 4));
        assert_eq!(walk_bytes(&[]), Walk::none());
    }

    #[test]
    fn what_was_found_before_a_stop_stays_found() {
        let walk = walk_bytes(&[254, 8, 0xd4, 0x31, 203, 0, 113, 9, 8, 0, 0, 0]);
        assert_eq!(walk, Walk { classes: TOA, ..Walk::new(1, Stop::TooShort, 8) });
    }

    #[test]
    fn only_a_bare_timestamp_is_not_worth_a_walk() {
        let mut bytes = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
        let worth = |bytes: &[u8], len| worth_walking(&Captured { bytes, wire_len: 16 }, 0, len);
        assert!(!worth(&bytes, 0));
        assert!(!worth(&bytes, 12));
        assert!(worth(&bytes, 16));
        assert!(worth(&bytes, 8));
        bytes[2] = 254;
        assert!(worth(&bytes, 12));
    }
}
