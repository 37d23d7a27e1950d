//! Responsible for passing over IPv6 extension headers (RFC 8200 section 4). Not responsible for what they say.
//!
//! ```text
//! 0 next header   1 length in units of 8 bytes beyond the first 8   (authentication: of 4 beyond the first 8)
//! 2 of a fragment header: offset (13 bits), reserved 2, more fragments 1; its length is always 8
//! ```

use super::{ip::PROTOCOL_TCP, view::PacketView};
use crate::{
    field::{be16, byte, field},
    limits::MAX_TRANSPORT_OFFSET,
    skip_reason::SkipReason,
    verifier::unknown,
};

/// Hop-by-hop options (RFC 8200 section 4.3); also those of a jumbogram (RFC 2675).
const HOP_BY_HOP: u8 = 0;
/// Routing (RFC 8200 section 4.4).
const ROUTING: u8 = 43;
/// Fragment (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;
/// Authentication (RFC 4302 section 2).
const AUTHENTICATION: u8 = 51;
/// Destination options (RFC 8200 section 4.6).
const DESTINATION_OPTIONS: u8 = 60;

/// The offset field's 13 bits, in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0xfff8;

/// Most headers that are passed over: each of the five kinds once and destination options twice (RFC 8200
/// section 4.1), and two to spare.
const MAX_HEADERS: usize = 8;

/// Where the TCP header begins, if one comes behind the extension headers that begin at `offset` with `kind`.
#[inline(always)]
pub(super) fn skip_to_tcp<P: PacketView>(packet: &P, kind: u8, offset: u32) -> Result<u32, SkipReason> {
    let (mut kind, mut offset) = (u32::from(kind), offset);
    for _ in 0..MAX_HEADERS {
        let header: &[u8; 8] = match kind as u8 {
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS => {
                packet.bytes(offset).ok_or(SkipReason::Truncated)?
            }
            _ => return Err(SkipReason::NotTcp),
        };
        let length = u32::from(byte::<1, _>(header));
        let header_len = match kind as u8 {
            FRAGMENT if be16(field::<2, 2, _>(header)) & FRAGMENT_OFFSET != 0 => {
                return Err(SkipReason::Fragment);
            }
            FRAGMENT => 8,
            AUTHENTICATION => length.wrapping_add(2) << 2,
            _ => length.wrapping_add(1) << 3,
        };
        // For the verifier, all ways to get here are one from here on.
        offset = unknown(offset.wrapping_add(header_len));
        kind = unknown(u32::from(byte::<0, _>(header)));
        if offset > MAX_TRANSPORT_OFFSET {
            return Err(SkipReason::ExtensionHeaders);
        }
        if kind as u8 == PROTOCOL_TCP {
            return Ok(offset);
        }
    }
    Err(SkipReason::ExtensionHeaders)
}
