//! Parsing of the Ethernet header and the VLAN tags that follow it. At the TC hook the outermost tag is always in the
//! packet's metadata, so the bytes contain only the tags inside it.

use super::view::PacketView;
use crate::{
    field::{be16, field},
    skip_reason::SkipReason,
    verifier::unknown,
};

/// Length of the header, in bytes: destination 6, source 6, EtherType 2 (IEEE 802.3 section 3.2).
pub const HEADER_LEN: u32 = 14;

/// EtherType of IPv4, host order (RFC 894).
pub const ETHER_TYPE_IPV4: u16 = 0x0800;

/// EtherType of IPv6, host order (RFC 2464 section 3).
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// EtherType of a customer VLAN tag, host order (IEEE 802.1Q table 9-1).
const ETHER_TYPE_VLAN: u16 = 0x8100;

/// EtherType of a service VLAN tag, host order (IEEE 802.1Q table 9-1).
const ETHER_TYPE_SERVICE_VLAN: u16 = 0x88a8;

/// Length of a VLAN tag after its EtherType, in bytes: tag 2, EtherType of what follows 2.
const TAG_LEN: u32 = 4;

/// Maximum number of tags in the bytes: a service tag and a customer tag, as in capture files.
const MAX_TAGS: usize = 2;

/// Returns the EtherType of the frame's content after any VLAN tags, and its offset.
#[inline(always)]
pub fn parse<P: PacketView>(packet: &P) -> Result<(u16, u32), SkipReason> {
    let header: &[u8; HEADER_LEN as usize] = packet.bytes(0).ok_or(SkipReason::Truncated)?;
    skip_tags(packet, be16(field::<12, 2, _>(header)), HEADER_LEN)
}

/// Skips the VLAN tags at `offset`, if `ether_type` is that of one. Returns the EtherType of what follows, and its
/// offset.
#[inline(always)]
pub fn skip_tags<P: PacketView>(packet: &P, ether_type: u16, offset: u32) -> Result<(u16, u32), SkipReason> {
    let (mut ether_type, mut offset) = (ether_type, offset);
    for _ in 0..MAX_TAGS {
        if ether_type != ETHER_TYPE_VLAN && ether_type != ETHER_TYPE_SERVICE_VLAN {
            break;
        }
        let tag: &[u8; TAG_LEN as usize] = packet.bytes(offset).ok_or(SkipReason::Truncated)?;
        ether_type = be16(field::<2, 2, _>(tag));
        // From here on, frames with one tag and with two are one state to the verifier.
        offset = unknown(offset.wrapping_add(TAG_LEN));
    }
    Ok((ether_type, offset))
}
