//! Responsible for what the IP versions have in common. Not responsible for either one's header.

use crate::address::Address;

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
