//! Link types of captures: the headers that precede the IP header. The kernel's parser reads Ethernet headers.
//!
//! The numbers are those of the registry at <https://www.tcpdump.org/linktypes.html>.

use std::fmt;

use toa_common::{
    skip_reason::SkipReason,
    wire::{
        ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, skip_tags},
        view::{Captured, Link, PacketView as _},
    },
};

/// Bytes of the header of `LINKTYPE_NULL` and `LINKTYPE_LOOP`: an address family. It is not used: its numbers differ
/// between systems, and the IP header has the same information.
const LOOPBACK_LEN: u32 = 4;

/// Bytes of the header of `LINKTYPE_LINUX_SLL`: packet type 2, device type 2, address 10, protocol 2.
const COOKED_LEN: u32 = 16;

/// Offset of the protocol in that header.
const COOKED_PROTOCOL: u32 = 14;

/// Bytes of the header of `LINKTYPE_LINUX_SLL2`: protocol 2, reserved 2, interface 4, device type 2, packet type 1,
/// address 9.
const COOKED2_LEN: u32 = 20;

/// What the packets of a capture begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkType {
    /// An address family of four bytes, in either byte order: BSD loopback.
    Loopback,
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
    /// A Linux "cooked" header, as captured from the device `any`.
    Cooked,
    /// A Linux "cooked" header, version 2.
    Cooked2,
}

impl LinkType {
    /// Returns the link type with this number, if it is supported.
    pub fn from_number(number: u16) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Loopback),
            1 => Some(Self::Ethernet),
            // Some systems wrote 12 or 14 for 101.
            12 | 14 | 101 | 228 | 229 => Some(Self::Ip),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    /// Returns the part of `packet` that the kernel's parser reads, and the layer with which that part begins.
    pub fn enter(self, packet: Captured<'_>) -> Result<(Captured<'_>, Link), SkipReason> {
        match self {
            Self::Ethernet => Ok((packet, Link::Ethernet)),
            Self::Ip => Ok((packet, Link::Ip)),
            Self::Loopback => Ok((without(packet, LOOPBACK_LEN)?, Link::Ip)),
            Self::Cooked => cooked(packet, COOKED_PROTOCOL, COOKED_LEN),
            Self::Cooked2 => cooked(packet, 0, COOKED2_LEN),
        }
    }
}

/// The number of a link type, written with its name if that is likely to be met.
#[derive(Clone, Copy, Debug)]
pub struct LinkNumber(pub u16);

impl fmt::Display for LinkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = self;
        let name = match number {
            9 | 50 => "PPP",
            51 => "PPPoE",
            104 => "Cisco HDLC",
            105 | 119 | 127 | 163 => "802.11",
            107 => "Frame Relay",
            187 | 201 | 254 => "Bluetooth",
            189 | 220 | 249 => "USB",
            227 => "CAN",
            239 => "NFLOG",
            242 | 247 => "InfiniBand",
            252 => "Wireshark's exported PDUs",
            253 => "netlink",
            258 => "PKTAP",
            284 | 285 => "DSA",
            _ => return write!(f, "{number}"),
        };
        write!(f, "{number} ({name})")
    }
}

/// Skips a cooked header of `len` bytes with an EtherType at `protocol`, and the VLAN tags after it.
fn cooked(packet: Captured<'_>, protocol: u32, len: u32) -> Result<(Captured<'_>, Link), SkipReason> {
    let ether_type = u16::from_be_bytes(*packet.bytes(protocol).ok_or(SkipReason::Truncated)?);
    let (ether_type, offset) = skip_tags(&packet, ether_type, len)?;
    match ether_type {
        ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6 => Ok((without(packet, offset)?, Link::Ip)),
        _ => Err(SkipReason::NotIp),
    }
}

/// Returns the packet without a header of `len` bytes.
fn without(packet: Captured<'_>, len: u32) -> Result<Captured<'_>, SkipReason> {
    let wire_len = packet.wire_len.checked_sub(len).ok_or(SkipReason::Truncated)?;
    Ok(Captured { wire_len, ..packet.at(len) })
}
