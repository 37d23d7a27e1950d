//! Parsing of the IPv6 header (RFC 8200 section 3).
//!
//! ```text
//!  0 version, traffic class, flow label     4 payload length   6 next header   7 hop limit
//!  8 source address                        24 destination address
//! ```

use super::{
    ip::{Ip, PROTOCOL_TCP, PROTOCOL_UDP, udp_reason},
    ipv6_extension,
    view::PacketView,
};
use crate::{
    address::Address,
    field::{be16, byte, field},
    skip_reason::SkipReason,
};

/// Length of the header, in bytes.
const HEADER_LEN: u32 = 40;

/// Parses the header at `offset`.
#[inline(always)]
pub(crate) fn parse<P: PacketView>(packet: &P, offset: u32) -> Result<Ip, SkipReason> {
    let header: &[u8; HEADER_LEN as usize] = packet.bytes(offset).ok_or(SkipReason::Truncated)?;
    let next_header = byte::<6, _>(header);
    let first = offset.wrapping_add(HEADER_LEN);
    let transport_offset = match next_header {
        PROTOCOL_TCP => first,
        PROTOCOL_UDP => return Err(udp_reason(packet, first)),
        other => ipv6_extension::skip_to_tcp(packet, other, first)?,
    };
    if byte::<0, _>(header) >> 4 != 6 {
        return Err(SkipReason::Malformed);
    }
    let in_packet = packet
        .wire_len()
        .checked_sub(offset)
        .and_then(|rest| rest.checked_sub(HEADER_LEN))
        .ok_or(SkipReason::Truncated)?;
    // BIG TCP: the payload length of a packet beyond 65,535 bytes is 0 (RFC 2675 section 3).
    let payload_len = match u32::from(be16(field::<4, 2, _>(header))) {
        0 if in_packet > P::MAX_STATED_LEN => in_packet,
        len if len > in_packet => return Err(SkipReason::Truncated),
        len => len,
    };
    let extensions_len = transport_offset.wrapping_sub(first);
    let transport_len = payload_len.checked_sub(extensions_len).ok_or(SkipReason::Malformed)?;
    Ok(Ip {
        source: Address::from_ipv6(field::<8, 16, _>(header)),
        destination: Address::from_ipv6(field::<24, 16, _>(header)),
        transport_offset,
        transport_len,
    })
}
