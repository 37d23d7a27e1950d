//! The kernel's state of a followed connection.

use crate::{
    attribution::Attribution,
    limits::LINGER_NS,
    tcp_packet::{TcpPacket, is_last},
};

/// A followed connection. It is a value of the map `FLOWS`, whose key is a [`crate::flow_key::FlowKey`]. Times are in
/// nanoseconds of `CLOCK_MONOTONIC`. 72 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Flow {
    /// When it was learned. Identifies the connection, together with the key.
    pub generation: u64,
    /// When its last packet arrived.
    pub last_ns: u64,
    /// When its first FIN or RST arrived; 0 while it is open.
    pub ended_ns: u64,
    /// Packets since it was learned, after GRO.
    pub packets: u64,
    /// Bytes of payload since it was learned.
    pub payload_bytes: u64,
    /// Its client, and where that was learned from.
    pub attribution: Attribution,
    /// Sequence number of the packet that first named its client.
    pub first_seq: u32,
    #[doc(hidden)]
    pub _unused: u32,
}

const _: () = assert!(size_of::<Flow>() == 72);

impl Flow {
    /// A flow with all fields zero.
    pub const EMPTY: Self = Self {
        generation: 0,
        last_ns: 0,
        ended_ns: 0,
        packets: 0,
        payload_bytes: 0,
        attribution: Attribution::EMPTY,
        first_seq: 0,
        _unused: 0,
    };

    /// Returns whether it ended so long ago that a packet with its 4-tuple belongs to another connection. Calls
    /// `now_ns` only if it has ended.
    #[inline(always)]
    pub fn has_lingered(&self, now_ns: impl FnOnce() -> u64) -> bool {
        self.ended_ns != 0 && now_ns().saturating_sub(self.ended_ns) > LINGER_NS
    }

    /// Counts one of its packets. Returns whether that is the first with FIN or RST.
    #[inline(always)]
    pub fn count_packet(&mut self, tcp: &TcpPacket, now_ns: u64) -> bool {
        self.last_ns = now_ns;
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(u64::from(tcp.payload_len));
        let ends = is_last(tcp.flags) && self.ended_ns == 0;
        if ends {
            // At least 1: a capture without timestamps has time 0, which would mean that it is open.
            self.ended_ns = now_ns.max(1);
        }
        ends
    }
}
