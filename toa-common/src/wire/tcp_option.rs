//! Responsible for walking the TCP options (RFC 9293 section 3.2). Not responsible for the value of any.

use crate::{limits::MAX_OPTIONS_BYTES, packet::Packet};

/// End of the option list: nothing behind it is an option.
const EOL: u8 = 0;
/// Padding of one byte.
const NOP: u8 = 1;

/// `NOP NOP` and the kind and length of the timestamp option (RFC 7323 appendix A): the options of almost
/// every data packet, of which nothing needs to be walked when nothing follows.
const BARE_TIMESTAMP: [u8; 4] = [NOP, NOP, 8, 10];
/// Bytes of [`BARE_TIMESTAMP`] with its value.
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
    /// A length that reaches past the options, or no length byte.
    PastEnd,
    /// Options that the packet announces are not in it.
    Truncated,
}

impl Stop {
    /// Whether the sender wrote options that no receiver can read.
    #[inline(always)]
    #[must_use]
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::TooShort | Self::PastEnd)
    }
}

/// What a walk found. Positions are bytes from the first option's kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Walk {
    /// How many selected options there are. They stay found whatever comes behind them.
    pub hits: u32,
    /// The position of the first one.
    pub first: u32,
    /// Why the walk ended.
    pub stop: Stop,
    /// The position at which it ended.
    pub end: u32,
}

/// Whether the `len` bytes of options at `offset` hold anything besides a bare timestamp.
#[inline(always)]
pub fn worth_walking<P: Packet>(packet: &P, offset: u32, len: u32) -> bool {
    len > BARE_TIMESTAMP_LEN
        || (len != 0 && !(len == BARE_TIMESTAMP_LEN && packet.view(offset) == Some(&BARE_TIMESTAMP)))
}

/// Walks the `len` bytes of options at `offset` and remembers those whose kind and length are `selected`.
///
/// Options are found by their lengths, never by their looks: a timestamp may contain any bytes.
#[inline(always)]
pub fn walk<P: Packet>(packet: &P, offset: u32, len: u32, selected: impl Fn(u8, u8) -> bool) -> Walk {
    let mut walk = Walk { hits: 0, first: 0, stop: Stop::End, end: 0 };
    // The last byte has no length behind it, so it is looked at by itself.
    let Some(last) = len.checked_sub(1) else {
        return walk;
    };
    for _ in 0..MAX_OPTIONS_BYTES {
        if walk.end >= last {
            break;
        }
        let Some([kind, length]) = packet.view(offset.wrapping_add(walk.end)) else {
            return Walk { stop: Stop::Truncated, ..walk };
        };
        let length = match *kind {
            EOL => return Walk { stop: Stop::EndOfList, ..walk },
            NOP => 1,
            _ if *length < 2 => return Walk { stop: Stop::TooShort, ..walk },
            _ if u32::from(*length) > len.wrapping_sub(walk.end) => {
                return Walk { stop: Stop::PastEnd, ..walk };
            }
            kind => {
                if selected(kind, *length) {
                    if walk.hits == 0 {
                        walk.first = walk.end;
                    }
                    walk.hits = walk.hits.wrapping_add(1);
                }
                u32::from(*length)
            }
        };
        walk.end = below_64(walk.end.wrapping_add(length));
    }
    if walk.end == last {
        // Two bytes are viewed, of which the second is wanted: the verifier wants it so, and before the last
        // option byte there is always another one.
        match packet.view(offset.wrapping_add(last).wrapping_sub(1)) {
            Some([_, EOL]) => walk.stop = Stop::EndOfList,
            Some([_, NOP]) => walk.end = len,
            Some(_) => walk.stop = Stop::PastEnd,
            None => walk.stop = Stop::Truncated,
        }
    }
    walk
}

/// Returns `position`, which is below 64 (options end at 40).
///
/// For the verifier: it must see the same range after each step, whichever option was stepped over, or the
/// paths never join again and a walk takes hundreds of thousands of instructions. Written in assembly because
/// the compiler knows the range as well and would leave a plain mask out.
#[inline(always)]
fn below_64(position: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut bounded = u64::from(position);
        // SAFETY: one arithmetic instruction on a register, no memory.
        unsafe { core::arch::asm!("{0} &= 63", inout(reg) bounded, options(pure, nomem, nostack)) };
        bounded as u32
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        position & 63
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Captured;

    fn walk_bytes(bytes: &[u8]) -> Walk {
        let len = u32::try_from(bytes.len()).unwrap();
        walk(&Captured { bytes, wire_len: len }, 0, len, |kind, length| (kind, length) == (254, 8))
    }

    #[test]
    fn an_option_is_found_behind_others() {
        let walk = walk_bytes(&[2, 4, 5, 0xb4, 254, 8, 0xd4, 0x31, 203, 0, 113, 9]);
        assert_eq!(walk, Walk { hits: 1, first: 4, stop: Stop::End, end: 12 });
    }

    #[test]
    fn a_lone_last_byte_has_no_length() {
        assert_eq!(walk_bytes(&[1, 1, 1, 254]).stop, Stop::PastEnd);
        assert_eq!(walk_bytes(&[1, 1, 1, 0]).stop, Stop::EndOfList);
        assert_eq!(walk_bytes(&[1, 1, 1, 1]), Walk { hits: 0, first: 0, stop: Stop::End, end: 4 });
        assert_eq!(walk_bytes(&[]), Walk { hits: 0, first: 0, stop: Stop::End, end: 0 });
    }

    #[test]
    fn what_was_found_before_a_stop_stays_found() {
        let walk = walk_bytes(&[254, 8, 0xd4, 0x31, 203, 0, 113, 9, 8, 0, 0, 0]);
        assert_eq!(walk, Walk { hits: 1, first: 0, stop: Stop::TooShort, end: 8 });
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
