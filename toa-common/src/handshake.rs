//! Handshakes of connections that are not followed yet.
//!
//! A SYN proves nothing: anyone can send one, and a server answers a SYN on an open connection with a challenge ACK and
//! goes on (RFC 5961 section 4.2). So a SYN is only remembered. The connection begins when another packet continues
//! from the SYN's sequence number. Until then, an open connection with the same 4-tuple stays followed, and a flood of
//! SYNs takes no space from followed connections.

use crate::{
    attribution::Attribution,
    inspect::Inspected,
    seq::Seq,
    tcp_packet::{SegmentKind, TcpPacket},
    wire::toa::Toa,
};

/// Bytes that a client may send before the first ACK of its server raises the window: the window field of a SYN-ACK is
/// never scaled (RFC 7323 section 2.2).
pub const INITIAL_WINDOW: u32 = 65_535;

/// A remembered SYN. It is a value of the map `HANDSHAKES`, whose key is a [`crate::flow_key::FlowKey`]. 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Handshake {
    /// The watched client that the SYN named. If it named none, only `learned_from` is set, to 0.
    pub attribution: Attribution,
    /// The SYN's sequence number.
    pub syn_seq: u32,
    /// Not 0 once a connection began with it.
    pub used: u32,
}

const _: () = assert!(size_of::<Handshake>() == 32);

impl Handshake {
    /// Returns the sequence number of the connection's first byte.
    #[inline(always)]
    pub fn start(&self) -> Seq {
        Seq(self.syn_seq) + 1
    }

    /// Returns whether the SYN named a watched client.
    #[inline(always)]
    pub fn is_watched(&self) -> bool {
        self.attribution.learned_from != 0
    }

    /// Returns the client that the SYN named, as its TOA. Meaningful only if [`Self::is_watched`].
    #[inline(always)]
    pub fn toa(&self) -> Toa {
        let Attribution { toa_kind, toa_length, .. } = self.attribution;
        Toa { client: self.attribution.client(), kind: toa_kind, length: toa_length }
    }

    /// Returns whether a packet shows that the handshake was completed: any in the initial window, because the first one
    /// may be late. If it may as well belong to a known connection (`is_ambiguous`), only the packet right after the
    /// SYN shows it.
    #[inline(always)]
    pub fn is_completed_by(&self, tcp: &TcpPacket, segment: SegmentKind, is_ambiguous: bool) -> bool {
        let ahead = tcp.seq.0.wrapping_sub(self.start().0);
        let limit = if is_ambiguous { 0 } else { INITIAL_WINDOW };
        matches!(segment, SegmentKind::Ack | SegmentKind::Data) && ahead <= limit
    }

    /// Returns whether it stays the one to remember when another SYN arrives: one without TOA, and near. A server that
    /// has answered the first SYN ignores the other or resets the connection. Of new connections without TOA, 1 in
    /// 32,768 begins in this range by chance.
    #[inline(always)]
    pub fn outlasts(&self, syn: &Inspected) -> bool {
        let ahead = syn.tcp.seq.0.wrapping_sub(self.syn_seq);
        let is_near = ahead.wrapping_add(INITIAL_WINDOW) <= 2 * INITIAL_WINDOW;
        self.used == 0 && !syn.toa.is_some() && is_near
    }
}
