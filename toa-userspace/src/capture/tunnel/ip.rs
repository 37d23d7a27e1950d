//! Tunnels that are a protocol of their own above IP: IP in IP, GRE and ESP.

use toa_common::wire::view::{Captured, Link};

use super::{
    kind::Tunnel,
    opened::{Opened, be16, byte},
    udp,
};

/// Numbers of the registry of protocols.
const IPV4: u8 = 4;
const UDP: u8 = 17;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const ESP: u8 = 50;
const L2TP: u8 = 115;

/// Mask of the fragment offset of IPv4 (RFC 791 section 3.1).
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Most IPv6 extension headers that are skipped.
const MAX_EXTENSIONS: usize = 4;

/// Opens what an IP packet carries.
pub(super) fn open(packet: Captured<'_>) -> Option<Opened<'_>> {
    let (protocol, offset) = match byte(&packet, 0)? >> 4 {
        4 => ipv4(&packet)?,
        6 => ipv6(&packet)?,
        _ => return None,
    };
    match protocol {
        IPV4 | IPV6 => Some(Opened::at(Tunnel::IpInIp, packet, offset, Link::Ip)),
        UDP => udp::open(packet, offset),
        GRE => gre(packet, offset),
        ESP => Some(Opened::closed(Tunnel::Esp)),
        L2TP => Some(Opened::closed(Tunnel::L2tp)),
        _ => None,
    }
}

fn ipv4(packet: &Captured<'_>) -> Option<(u8, u32)> {
    let is_first = be16(packet, 6)? & FRAGMENT_OFFSET == 0;
    let header_len = u32::from(byte(packet, 0)? & 0x0f) << 2;
    (is_first && header_len >= 20).then_some((byte(packet, 9)?, header_len))
}

fn ipv6(packet: &Captured<'_>) -> Option<(u8, u32)> {
    let (mut next, mut offset) = (byte(packet, 6)?, 40_u32);
    for _ in 0..MAX_EXTENSIONS {
        // Hop-by-hop options, routing, and destination options, which hold the limit of encapsulation (RFC 2473).
        if !matches!(next, 0 | 43 | 60) {
            break;
        }
        let len = (u32::from(byte(packet, offset.checked_add(1)?)?) + 1) << 3;
        next = byte(packet, offset)?;
        offset = offset.checked_add(len)?;
    }
    Some((next, offset))
}

/// Opens GRE: flags and version 2, EtherType 2, then optional words (RFC 2784, RFC 2890).
fn gre(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    /// Type I has no header of its own, and neither has it sequence numbers.
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_III: u16 = 0x22eb;
    let (flags, ether_type) = (be16(&packet, offset)?, be16(&packet, offset.checked_add(2)?)?);
    let has = |flag| flags & flag != 0;
    // Version 1 is that of PPTP, and routing (0x4000) is obsolete.
    if flags & 7 != 0 || has(0x4000) {
        return Some(Opened::closed(Tunnel::Gre));
    }
    let words = 1 + u32::from(has(0x8000)) + u32::from(has(0x2000)) + u32::from(has(0x1000));
    let content = offset.checked_add(words * 4)?;
    Some(match ether_type {
        ERSPAN => {
            let header_len = if has(0x1000) { 8 } else { 0 };
            Opened::at(Tunnel::Erspan, packet, content.checked_add(header_len)?, Link::Ethernet)
        }
        ERSPAN_III => {
            // The last bit says whether a platform's header follows.
            let has_platform = byte(&packet, content.checked_add(11)?)? & 1 == 1;
            let header_len = if has_platform { 20 } else { 12 };
            Opened::at(Tunnel::Erspan, packet, content.checked_add(header_len)?, Link::Ethernet)
        }
        _ => Opened::of_type(Tunnel::Gre, packet, content, ether_type),
    })
}
