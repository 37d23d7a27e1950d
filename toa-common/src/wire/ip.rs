//! Responsible for what the IP versions have in common. Not responsible for either one's header.

use super::{
    ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6},
    ipv4, ipv6,
};
use crate::{flow_key::Address, packet::Packet, skip_reason::SkipReason};

/// The protocol number of TCP (RFC 9293 section 1).
pub(super) const PROTOCOL_TCP: u8 = 6;

/// What an IP header says about the TCP header behind it.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Where the TCP header begins, in bytes from the packet's first byte.
    pub transport_offset: u32,
    /// Bytes of TCP header and payload, without the link layer's padding.
    pub transport_len: u32,
}

/// The EtherType that a packet without a link header would have, from its version field.
#[inline(always)]
pub fn ether_type<P: Packet>(packet: &P) -> Result<(u16, u32), SkipReason> {
    let [first, _]: &[u8; 2] = packet.view(0).ok_or(SkipReason::Truncated)?;
    match first >> 4 {
        4 => Ok((ETHER_TYPE_IPV4, 0)),
        6 => Ok((ETHER_TYPE_IPV6, 0)),
        _ => Err(SkipReason::NotIp),
    }
}

/// Reads the IP header at `offset`.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, ether_type: u16, offset: u32) -> Result<Ip, SkipReason> {
    match ether_type {
        ETHER_TYPE_IPV4 => ipv4::parse(packet, offset),
        ETHER_TYPE_IPV6 => ipv6::parse(packet, offset),
        _ => Err(SkipReason::NotIp),
    }
}
