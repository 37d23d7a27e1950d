//! Responsible for the order that user space gives the kernel: which bytes of a connection need not be copied.
//! Not responsible for when to give one, nor for the map that carries it.
//!
//! User space knows when the next bytes are a body, or the rest of a connection is of no interest. An order says
//! so as a window of sequence numbers. A packet whose payload lies wholly in the window is not copied at all; one
//! that lies partly in it is copied as if there were no order, and so is one with SYN, FIN or RST, since it tells
//! where the connection begins or ends. The window names the generation of its flow, so that it never hits a later
//! connection of the same 4-tuple. It is withdrawn when the stream has passed it: 4 GiB later the same numbers come
//! again.

use crate::{
    seq::Seq,
    wire::tcp::{FIN, RST, SYN},
};

/// What need not be copied of one connection; the value of a map by [`crate::flow_key::FlowKey`]. 16 bytes:
///
/// ```text
///  0 generation         8 from              12 until
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Order {
    /// The connection's generation, see [`crate::flow::Flow::generation`].
    pub generation: u64,
    /// The first sequence number of the window.
    pub from: u32,
    /// The first sequence number behind it.
    pub until: u32,
}

const _: () = assert!(size_of::<Order>() == 16);

impl Order {
    /// Longest window, in bytes: the largest of TCP itself (RFC 7323 section 2.3). So nothing that is in flight
    /// when the window is passed can be taken for something in it.
    pub const MAX_BYTES: u32 = 1 << 30;

    /// The order not to copy `bytes` from `from` on, or as many of them as a window may have.
    #[must_use]
    pub fn new(generation: u64, from: Seq, bytes: u64) -> Self {
        // Within 32 bits, by the bound.
        let bytes = bytes.min(u64::from(Self::MAX_BYTES)) as u32;
        Self { generation, from: from.0, until: (from + bytes).0 }
    }

    /// How many sequence numbers the window has.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.until.wrapping_sub(self.from)
    }

    /// Whether a packet need not be copied: one with payload, nothing else to tell, and all of it in the window.
    #[inline(always)]
    #[must_use]
    pub fn skips(&self, generation: u64, tcp_flags: u8, seq: Seq, payload_len: u32) -> bool {
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
    fn only_what_lies_wholly_in_the_window_is_skipped() {
        for from in [0, 1000, u32::MAX - 50, u32::MAX, 1 << 31] {
            let order = Order::new(7, Seq(from), 100);
            let skips = |seq: u32, len| order.skips(7, ACK, Seq(from.wrapping_add(seq)), len);
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
                assert_eq!(skips(seq, len), expected, "{len} bytes at {seq} behind {from}");
            }
        }
    }

    #[test]
    fn what_has_more_to_tell_is_not_skipped() {
        let order = Order::new(7, Seq(0), 100);
        assert!(order.skips(7, ACK, Seq(0), 10));
        assert!(!order.skips(8, ACK, Seq(0), 10), "of another connection");
        for flag in [SYN, FIN, RST] {
            assert!(!order.skips(7, ACK | flag, Seq(0), 10));
        }
    }

    #[test]
    fn a_window_is_bounded() {
        let order = Order::new(7, Seq(u32::MAX), u64::MAX);
        assert_eq!((order.bytes(), order.until), (1 << 30, (1 << 30) - 1));
        assert_eq!(Order::new(7, Seq(5), 0).bytes(), 0);
        assert!(!Order::new(7, Seq(5), 0).skips(7, ACK, Seq(5), 1));
        let nonsense = Order { generation: 7, from: 5, until: 4 };
        assert!(!nonsense.skips(7, ACK, Seq(5), 1));
    }
}
