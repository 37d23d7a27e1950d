//! What the IPv4 and IPv6 parsers share.

use super::view::PacketView;
use crate::{
    address::Address,
    field::{be16, field},
    skip_reason::SkipReason,
};

/// Protocol number of TCP (RFC 9293 section 1).
pub(super) const PROTOCOL_TCP: u8 = 6;

/// Protocol number of UDP (RFC 768).
pub(super) const PROTOCOL_UDP: u8 = 17;

/// Returns the reason for a UDP packet with its header at `offset`. One that is not in the view is no tunnel.
#[inline(always)]
pub(super) fn udp_reason<P: PacketView>(packet: &P, offset: u32) -> SkipReason {
    let ports: Option<&[u8; 4]> = packet.bytes(offset);
    ports.map_or(SkipReason::NotTcp, |ports| SkipReason::of_udp_port(be16(field::<2, 2, _>(ports))))
}

/// The parts of an IP header that are needed, and the position of the TCP header that follows it.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Offset of the TCP header, in bytes from the start of the packet.
    pub transport_offset: u32,
    /// Length of TCP header and payload, in bytes, without the link layer's padding.
    pub transport_len: u32,
}
