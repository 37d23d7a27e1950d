//! Tunnels below IP: VLAN tags, MPLS, `PPPoE` and LLC/SNAP.

use toa_common::wire::{
    ethernet::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6},
    view::{Captured, Link, PacketView as _},
};

use super::{
    ip,
    kind::Tunnel,
    opened::{Opened, after, be16, byte},
};

/// `EtherTypes` of VLAN tags, host order: those that the kernel's parser skips, and two older ones of service tags.
const VLANS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
/// Most tags beyond those that the kernel's parser skips.
const MAX_TAGS: usize = 6;
/// `EtherTypes` of MPLS, host order (RFC 3032 section 5).
const MPLS: [u16; 2] = [0x8847, 0x8848];
/// Most labels of a stack.
const MAX_LABELS: u32 = 16;
/// EtherType of the packets of a `PPPoE` session, host order (RFC 2516 section 4).
const PPPOE_SESSION: u16 = 0x8864;
/// Largest value of the field that is a length and no EtherType (IEEE 802.3 section 3.2.6).
const MAX_LENGTH: u16 = 1500;
/// The LLC header of SNAP, with the organisation of `EtherTypes` (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];

/// Opens what an EtherType names, at `offset`.
pub(super) fn open(packet: Captured<'_>, ether_type: u16, offset: u32) -> Option<Opened<'_>> {
    match ether_type {
        ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6 => ip::open(after(packet, offset)?),
        _ if VLANS.contains(&ether_type) => vlan(packet, offset),
        _ if MPLS.contains(&ether_type) => mpls(packet, offset),
        PPPOE_SESSION => {
            // Version and type 1, code 1, session 2, length 2; then the PPP protocol (RFC 1661 section 2).
            let offset = offset.checked_add(6)?;
            let ppp = be16(&packet, offset)?;
            Some(match ppp {
                0x21 | 0x57 => Opened::at(Tunnel::Pppoe, packet, offset.checked_add(2)?, Link::Ip),
                _ => Opened::closed(Tunnel::Pppoe),
            })
        }
        0..=MAX_LENGTH if *packet.bytes::<6>(offset)? == SNAP => {
            let ether_type = be16(&packet, offset.checked_add(6)?)?;
            Some(Opened::of_type(Tunnel::Snap, packet, offset.checked_add(8)?, ether_type))
        }
        _ => None,
    }
}

fn vlan(packet: Captured<'_>, mut offset: u32) -> Option<Opened<'_>> {
    for _ in 0..MAX_TAGS {
        let ether_type = be16(&packet, offset.checked_add(2)?)?;
        offset = offset.checked_add(4)?;
        if !VLANS.contains(&ether_type) {
            let inner = open(packet, ether_type, offset);
            return inner.or_else(|| Some(Opened::of_type(Tunnel::Vlan, packet, offset, ether_type)));
        }
    }
    Some(Opened::closed(Tunnel::Vlan))
}

/// The stack does not say what follows it; an IP header is known by its version, and a frame by the control word before
/// it, whose first four bits are zero (RFC 4385 section 3).
fn mpls(packet: Captured<'_>, mut offset: u32) -> Option<Opened<'_>> {
    for _ in 0..MAX_LABELS {
        let is_last = byte(&packet, offset.checked_add(2)?)? & 1 == 1;
        offset = offset.checked_add(4)?;
        if is_last {
            return Some(match byte(&packet, offset)? >> 4 {
                4 | 6 => Opened::at(Tunnel::Mpls, packet, offset, Link::Ip),
                0 => Opened::at(Tunnel::Mpls, packet, offset.checked_add(4)?, Link::Ethernet),
                _ => Opened::closed(Tunnel::Mpls),
            });
        }
    }
    Some(Opened::closed(Tunnel::Mpls))
}
