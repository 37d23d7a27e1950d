//! Parsing of the IPv4 header (RFC 791 section 3.1).
//!
//! ```text
//!  0 version, IHL   1 service    2 total length
//!  4 identification              6 flags, fragment offset
//!  8 time to live   9 protocol  10 checksum
//! 12 source address             16 destination address
//! 20 options, to 4 * IHL
//! ```

use super::{
    ip::{Ip, PROTOCOL_TCP, PROTOCOL_UDP, udp_reason},
    view::PacketView,
};
use crate::{
    address::Address,
    field::{be16, byte, field},
    skip_reason::SkipReason,
};

/// Length of the header without options, in bytes.
const FIXED_LEN: u32 = 20;

/// Mask of the 13-bit fragment offset, which is in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Parses the header at `offset`.
#[inline(always)]
pub(crate) fn parse<P: PacketView>(packet: &P, offset: u32) -> Result<Ip, SkipReason> {
    let header: &[u8; FIXED_LEN as usize] = packet.bytes(offset).ok_or(SkipReason::Truncated)?;
    let version = byte::<0, _>(header);
    let header_len = u32::from(version & 0x0f) << 2;
    match byte::<9, _>(header) {
        PROTOCOL_TCP => {}
        PROTOCOL_UDP if be16(field::<6, 2, _>(header)) & FRAGMENT_OFFSET == 0 => {
            return Err(udp_reason(packet, offset.wrapping_add(header_len)));
        }
        other => return Err(SkipReason::of_protocol(other)),
    }
    if be16(field::<6, 2, _>(header)) & FRAGMENT_OFFSET != 0 {
        return Err(SkipReason::Fragment);
    }
    let in_packet = packet.wire_len().checked_sub(offset).ok_or(SkipReason::Truncated)?;
    // BIG TCP: the total length of a merged packet beyond 65,535 bytes is 0 (Linux 6.3, `iph_totlen`).
    let total_len = match u32::from(be16(field::<2, 2, _>(header))) {
        0 if in_packet > P::MAX_STATED_LEN => in_packet,
        len => len,
    };
    if header_len < FIXED_LEN || version >> 4 != 4 {
        return Err(SkipReason::Malformed);
    }
    if total_len > in_packet {
        return Err(SkipReason::Truncated);
    }
    let transport_len = total_len.checked_sub(header_len).ok_or(SkipReason::Malformed)?;
    Ok(Ip {
        source: Address::from_ipv4(field::<12, 4, _>(header)),
        destination: Address::from_ipv4(field::<16, 4, _>(header)),
        transport_offset: offset.wrapping_add(header_len),
        transport_len,
    })
}
