//! The result of opening a tunnel, and access to the bytes of packets.

use toa_common::wire::{
    ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6},
    view::{Captured, Link, PacketView as _},
};

use super::kind::Tunnel;

/// A header that was found, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'a> {
    pub(super) tunnel: Tunnel,
    /// The packet that is carried, if it can be read.
    pub(super) content: Option<(Captured<'a>, Link)>,
}

impl<'a> Opened<'a> {
    /// A tunnel whose packets cannot be read.
    pub(super) const fn closed(tunnel: Tunnel) -> Self {
        Self { tunnel, content: None }
    }

    /// A tunnel that carries a packet with this header at `offset`.
    pub(super) fn at(tunnel: Tunnel, packet: Captured<'a>, offset: u32, link: Link) -> Self {
        Self { tunnel, content: after(packet, offset).map(|content| (content, link)) }
    }

    /// A tunnel that carries at `offset` what an EtherType names.
    pub(super) fn of_type(tunnel: Tunnel, packet: Captured<'a>, offset: u32, ether_type: u16) -> Self {
        match ether_type {
            ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6 => Self::at(tunnel, packet, offset, Link::Ip),
            TRANSPARENT_ETHERNET => Self::at(tunnel, packet, offset, Link::Ethernet),
            _ => Self::closed(tunnel),
        }
    }
}

/// EtherType of a whole Ethernet frame, host order (RFC 7637 section 3.2).
const TRANSPARENT_ETHERNET: u16 = 0x6558;

/// Returns the packet without its first `offset` bytes, of which none may be missing.
pub(super) fn after(packet: Captured<'_>, offset: u32) -> Option<Captured<'_>> {
    let wire_len = packet.wire_len.checked_sub(offset)?;
    let bytes = packet.bytes.get(usize::try_from(offset).ok()?..)?;
    Some(Captured { bytes, wire_len })
}

/// Returns the number at `offset`, host order.
pub(super) fn be16(packet: &Captured<'_>, offset: u32) -> Option<u16> {
    packet.bytes(offset).copied().map(u16::from_be_bytes)
}

/// Returns the byte at `offset`.
pub(super) fn byte(packet: &Captured<'_>, offset: u32) -> Option<u8> {
    packet.bytes.get(usize::try_from(offset).ok()?).copied()
}
