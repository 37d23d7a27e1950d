//! Responsible for the Ethernet header. Not responsible for VLAN tags: at the TC hook the outer one is in the
//! packet's metadata, not in its bytes.

use super::field::{be16, field};
use crate::{packet::Packet, skip_reason::SkipReason};

/// Bytes of the header: destination 6, source 6, EtherType 2 (IEEE 802.3 section 3.2).
pub const HEADER_LEN: u32 = 14;

/// EtherType of IPv4, host order (RFC 894).
pub const ETHER_TYPE_IPV4: u16 = 0x0800;

/// EtherType of IPv6, host order (RFC 2464 section 3).
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// The EtherType and where its header begins.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P) -> Result<(u16, u32), SkipReason> {
    let header: &[u8; HEADER_LEN as usize] = packet.view(0).ok_or(SkipReason::Truncated)?;
    Ok((be16(field::<12, 2, _>(header)), HEADER_LEN))
}
