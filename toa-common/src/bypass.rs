//! Windows of a connection that the kernel does not copy to user space.
//!
//! User space knows when the next bytes are a body, or when the rest of a connection is of no interest. It then writes
//! a [`Bypass`], a window of sequence numbers. The kernel does so for bodies that it reads itself ([`crate::body`]), and
//! removes its window when a packet comes after it. A packet whose payload lies entirely in the window is not copied. A
//! packet that lies partly in it is copied whole. A packet with SYN, FIN or RST is always copied, because it marks
//! where the connection begins or ends. The window carries the generation of its flow, so it never applies to a later
//! connection with the same 4-tuple. User space removes it once the stream has passed it, because sequence numbers
//! repeat after 4 GiB.

use crate::{
    body::{Position, states},
    seq::Seq,
    wire::tcp::{FIN, RST, SYN, URG},
};

/// A window of a connection that is not copied. It is a value of the map `BYPASS`, whose key is a
/// [`crate::flow_key::FlowKey`]. 24 bytes:
///
/// ```text
///  0 generation         8 from              12 until             16 position
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Bypass {
    /// Generation of the flow, see [`crate::flow::Flow::generation`].
    pub generation: u64,
    /// First sequence number in the window.
    pub from: u32,
    /// First sequence number after the window.
    pub until: u32,
    /// What begins after the window, if the kernel opened it.
    pub position: Position,
}

const _: () = assert!(size_of::<Bypass>() == 24);

impl Bypass {
    /// Maximum length of a window, in bytes: TCP's maximum window (RFC 7323 section 2.3). Data that is in flight when
    /// the stream has passed the window can therefore not be mistaken for data in it.
    pub const MAX_BYTES: u32 = 1 << 30;

    /// Bypasses `bytes` bytes from `from` on, but at most [`Self::MAX_BYTES`].
    pub fn new(generation: u64, from: Seq, bytes: u64) -> Self {
        // Fits in 32 bits because of the bound.
        let bytes = bytes.min(u64::from(Self::MAX_BYTES)) as u32;
        Self { generation, from: from.0, until: (from + bytes).0, position: Position::default() }
    }

    /// Returns the length of the window, in bytes.
    #[inline(always)]
    pub fn bytes(&self) -> u32 {
        self.until.wrapping_sub(self.from)
    }

    /// Returns whether the window's end, where the kernel continues to read a chunked body, is in the payload.
    #[inline(always)]
    pub fn continues_in(&self, generation: u64, tcp_flags: u8, seq: Seq, payload_len: u32) -> bool {
        generation == self.generation
            && self.position.state >= states::SIZE
            && tcp_flags & (SYN | FIN | RST | URG) == 0
            && self.until.wrapping_sub(seq.0) < payload_len
    }

    /// Returns whether the kernel opened the window and `seq` is after it.
    #[inline(always)]
    pub fn is_passed(&self, seq: Seq) -> bool {
        self.position.state != states::UNKNOWN && seq.distance(Seq(self.until)) >= 0
    }

    /// Returns whether a packet need not be copied: it has payload, all of it in the window, and no SYN, FIN or RST.
    #[inline(always)]
    pub fn covers(&self, generation: u64, tcp_flags: u8, seq: Seq, payload_len: u32) -> bool {
        let window = self.bytes();
        let start = seq.0.wrapping_sub(self.from);
        generation == self.generation
            && tcp_flags & (SYN | FIN | RST) == 0
            && payload_len > 0
            && window <= Self::MAX_BYTES
            && start < window
            && payload_len <= window.wrapping_sub(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::ACK;

    #[test]
    fn only_what_lies_entirely_in_the_window_is_covered() {
        for from in [0, 1000, u32::MAX - 50, u32::MAX, 1 << 31] {
            let bypass = Bypass::new(7, Seq(from), 100);
            let covers = |seq: u32, len| bypass.covers(7, ACK, Seq(from.wrapping_add(seq)), len);
            for (seq, len, expected) in [
                (0, 100, true),
                (0, 1, true),
                (99, 1, true),
                (50, 50, true),
                (0, 101, false),
                (99, 2, false),
                (100, 1, false),
                (0, 0, false),
                (u32::MAX, 1, false),
                (u32::MAX, 2, false),
                (1 << 31, 1, false),
                (50, u32::MAX, false),
            ] {
                assert_eq!(covers(seq, len), expected, "{len} bytes at {seq} after {from}");
            }
        }
    }

    #[test]
    fn packets_with_syn_fin_or_rst_are_not_covered() {
        let bypass = Bypass::new(7, Seq(0), 100);
        assert!(bypass.covers(7, ACK, Seq(0), 10));
        assert!(!bypass.covers(8, ACK, Seq(0), 10), "of another connection");
        for flag in [SYN, FIN, RST] {
            assert!(!bypass.covers(7, ACK | flag, Seq(0), 10));
        }
    }

    #[test]
    fn a_window_is_bounded() {
        let bypass = Bypass::new(7, Seq(u32::MAX), u64::MAX);
        assert_eq!((bypass.bytes(), bypass.until), (1 << 30, (1 << 30) - 1));
        assert_eq!(Bypass::new(7, Seq(5), 0).bytes(), 0);
        assert!(!Bypass::new(7, Seq(5), 0).covers(7, ACK, Seq(5), 1));
        let nonsense = Bypass { until: 4, ..Bypass::new(7, Seq(5), 0) };
        assert!(!nonsense.covers(7, ACK, Seq(5), 1));
    }
}
