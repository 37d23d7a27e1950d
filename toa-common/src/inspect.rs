//! Responsible for reading one packet to its TOA, the same in every host. Not responsible for what is decided
//! from it.

use crate::{
    follow::SegmentKind,
    packet::{Link, Packet, TcpPacket},
    skip_reason::SkipReason,
    wire::{
        tcp_option::{Stop, Walk, worth_walking},
        toa::{self, Toa, ToaPairs},
    },
};

/// A TCP packet with what its options say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inspected {
    /// The packet.
    pub tcp: TcpPacket,
    /// Its TOA, or [`Toa::NONE`].
    pub toa: Toa,
    /// How its options were walked.
    pub walk: Walk,
}

impl Inspected {
    /// What it is to a decision.
    #[inline(always)]
    #[must_use]
    pub fn segment_kind(&self) -> SegmentKind {
        SegmentKind::new(self.tcp.flags, self.tcp.payload_len != 0)
    }
}

/// Reads `packet`, whose first byte belongs to `link` and whose TOA is one of `pairs`.
///
/// Fails with [`SkipReason::Truncated`] also when only the options cannot be viewed, so that a host can come
/// again with a view of all headers.
#[inline(always)]
pub fn inspect<P: Packet>(packet: &P, link: Link, pairs: &ToaPairs) -> Result<Inspected, SkipReason> {
    let tcp = TcpPacket::parse(packet, link)?;
    let (toa, walk) = if worth_walking(packet, tcp.options_offset(), tcp.options_len) {
        toa::find(packet, &tcp, pairs)
    } else {
        (Toa::NONE, Walk::NONE)
    };
    if walk.stop() == Stop::Truncated {
        return Err(SkipReason::Truncated);
    }
    Ok(Inspected { tcp, toa, walk })
}
