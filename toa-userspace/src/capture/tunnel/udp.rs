//! Tunnels over UDP, which are known by their ports.

use toa_common::wire::view::{Captured, Link};

use super::{
    kind::Tunnel,
    opened::{Opened, be16, byte},
};

/// Length of the UDP header, in bytes.
const HEADER_LEN: u32 = 8;

/// Opens what a UDP packet with its header at `offset` carries. A port says only what to expect, so what contradicts its
/// protocol is no tunnel.
pub(super) fn open(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    let ports = [be16(&packet, offset.checked_add(2)?)?, be16(&packet, offset)?];
    let payload = offset.checked_add(HEADER_LEN)?;
    // Answers come from the port of the protocol; so do packets of both directions of some.
    ports.into_iter().find_map(|port| match port {
        4789 | 8472 => vxlan(packet, payload),
        6081 => geneve(packet, payload),
        6080 | 9886 => gue(packet, payload),
        2152 => gtp(packet, payload),
        3544 => teredo(packet, payload),
        // Version 2 or 3 in the last four bits.
        1701 => matches!(byte(&packet, payload.checked_add(1)?)? & 15, 2 | 3)
            .then_some(Opened::closed(Tunnel::L2tp)),
        // Four zero bytes mark a packet that is no ESP (RFC 3948 section 2.2).
        4500 => (packet.bytes.get(usize::try_from(payload).ok()?..)?.first_chunk::<4>()? != &[0; 4])
            .then_some(Opened::closed(Tunnel::Esp)),
        // Type 1 to 4, then three zero bytes.
        51820 => matches!(packet.bytes.get(usize::try_from(payload).ok()?..)?, [1..=4, 0, 0, 0, ..])
            .then_some(Opened::closed(Tunnel::WireGuard)),
        _ => None,
    })
}

/// RFC 7348 section 5: flags 1, reserved 3, network 3, reserved 1.
fn vxlan(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    (byte(&packet, offset)? & 0x08 != 0).then_some(Opened::at(
        Tunnel::Vxlan,
        packet,
        offset.checked_add(8)?,
        Link::Ethernet,
    ))
}

/// RFC 8926 section 3.4: version and length of the options 1, flags 1, EtherType 2, network 3, reserved 1.
fn geneve(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    let first = byte(&packet, offset)?;
    let ether_type = be16(&packet, offset.checked_add(2)?)?;
    let content = offset.checked_add(8 + (u32::from(first & 0x3f) << 2))?;
    (first >> 6 == 0).then_some(Opened::of_type(Tunnel::Geneve, packet, content, ether_type))
}

/// draft-ietf-intarea-gue sections 3 and 4: variant, control bit and length 1, protocol 1, flags 2; variant 1 has no
/// header, because an IP version begins with the same bits.
fn gue(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    let first = byte(&packet, offset)?;
    match first >> 5 {
        0 => matches!(byte(&packet, offset.checked_add(1)?)?, 4 | 41).then_some(Opened::at(
            Tunnel::Gue,
            packet,
            offset.checked_add(4 + (u32::from(first & 0x1f) << 2))?,
            Link::Ip,
        )),
        2 | 3 => Some(Opened::at(Tunnel::Gue, packet, offset, Link::Ip)),
        _ => None,
    }
}

/// 3GPP TS 29.281 section 5: flags 1, message type 1, length 2, tunnel 4; if any of three flags is set, sequence number 2,
/// N-PDU number 1, type of the first extension header 1.
fn gtp(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    /// Most extension headers that are skipped.
    const MAX_EXTENSIONS: usize = 4;
    let flags = byte(&packet, offset)?;
    // Version 1, GTP and not GTP', a user's packet.
    if flags >> 4 != 3 || byte(&packet, offset.checked_add(1)?)? != 255 {
        return None;
    }
    let mut content = offset.checked_add(8)?;
    if flags & 7 != 0 {
        let mut next = byte(&packet, content.checked_add(3)?)?;
        content = content.checked_add(4)?;
        for _ in 0..MAX_EXTENSIONS {
            if next == 0 {
                break;
            }
            let len = u32::from(byte(&packet, content)?).max(1) << 2;
            content = content.checked_add(len)?;
            next = byte(&packet, content.checked_sub(1)?)?;
        }
    }
    Some(Opened::at(Tunnel::Gtp, packet, content, Link::Ip))
}

/// RFC 4380 section 5.1.1: an IPv6 packet, after an authentication (0, 1) or an origin (0, 0) that may precede it.
fn teredo(packet: Captured<'_>, offset: u32) -> Option<Opened<'_>> {
    let offset = if be16(&packet, offset)? == 0 { offset.checked_add(8)? } else { offset };
    (byte(&packet, offset)? >> 4 == 6).then_some(Opened::at(Tunnel::Teredo, packet, offset, Link::Ip))
}
