//! What the IPv4 and IPv6 parsers share.

use crate::address::Address;

/// Protocol number of TCP (RFC 9293 section 1).
pub(super) const PROTOCOL_TCP: u8 = 6;

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
