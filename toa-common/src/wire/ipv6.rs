//! Responsible for the IPv6 header (RFC 8200 section 3). Not responsible for extension headers: TCP that
//! stands behind one is not found.
//!
//! ```text
//!  0 version, traffic class, flow label     4 payload length   6 next header   7 hop limit
//!  8 source address                        24 destination address
//! ```

use super::ip::{Ip, PROTOCOL_TCP};
use crate::{flow_key::Address, packet::Packet, skip_reason::SkipReason};

/// Bytes of the header.
const HEADER_LEN: u32 = 40;

/// Reads the header at `offset`.
#[inline(always)]
pub(super) fn parse<P: Packet>(packet: &P, offset: u32) -> Result<Ip, SkipReason> {
    let header: &[u8; 40] = packet.view(offset).ok_or(SkipReason::Truncated)?;
    let [version, _, _, _, len_0, len_1, next_header, _, addresses @ ..] = header;
    if *next_header != PROTOCOL_TCP {
        return Err(SkipReason::NotTcp);
    }
    if version >> 4 != 6 {
        return Err(SkipReason::Malformed);
    }
    let in_packet = packet
        .wire_len()
        .checked_sub(offset)
        .and_then(|rest| rest.checked_sub(HEADER_LEN))
        .ok_or(SkipReason::Truncated)?;
    // BIG TCP: the payload length of a packet beyond 65,535 bytes is 0 (RFC 2675 section 3).
    let transport_len = match u32::from(u16::from_be_bytes([*len_0, *len_1])) {
        0 => in_packet,
        len if len > in_packet => return Err(SkipReason::Truncated),
        len => len,
    };
    let (source, rest) = addresses.split_first_chunk::<16>().ok_or(SkipReason::Truncated)?;
    let (destination, _) = rest.split_first_chunk::<16>().ok_or(SkipReason::Truncated)?;
    Ok(Ip {
        source: Address::from_ipv6(source),
        destination: Address::from_ipv6(destination),
        transport_offset: offset.wrapping_add(HEADER_LEN),
        transport_len,
    })
}
