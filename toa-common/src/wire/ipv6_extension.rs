//! Skipping of IPv6 extension headers (RFC 8200 section 4).
//!
//! ```text
//! 0 next header   1 length beyond the first 8 bytes, in units of 8 bytes (authentication: of 4 bytes)
//! 2 in a fragment header, whose length is always 8: offset (13 bits), reserved (2), more fragments (1)
//! ```

use super::{ip::PROTOCOL_TCP, view::PacketView};
use crate::{
    field::{be16, byte, field},
    limits::MAX_TRANSPORT_OFFSET,
    skip_reason::SkipReason,
    verifier::unknown,
};

/// Hop-by-hop options (RFC 8200 section 4.3), including those of a jumbogram (RFC 2675).
const HOP_BY_HOP: u8 = 0;
/// Routing (RFC 8200 section 4.4).
const ROUTING: u8 = 43;
/// Fragment (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;
/// Authentication (RFC 4302 section 2).
const AUTHENTICATION: u8 = 51;
/// Destination options (RFC 8200 section 4.6).
const DESTINATION_OPTIONS: u8 = 60;

/// Mask of the 13-bit fragment offset, which is in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0xfff8;

/// Maximum number of headers that are skipped: each of the five kinds once, destination options a second time (RFC 8200
/// section 4.1), and two to spare.
const MAX_HEADERS: usize = 8;

/// Returns the offset of the TCP header that follows the extension headers, the first of which is at `offset` and of
/// kind `kind`.
#[inline(always)]
pub(super) fn skip_to_tcp<P: PacketView>(packet: &P, kind: u8, offset: u32) -> Result<u32, SkipReason> {
    let (mut kind, mut offset) = (u32::from(kind), offset);
    for _ in 0..MAX_HEADERS {
        let header: &[u8; 8] = match kind as u8 {
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS => {
                packet.bytes(offset).ok_or(SkipReason::Truncated)?
            }
            other => return Err(SkipReason::of_protocol(other)),
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
        // From here on, all paths to this point are one state to the verifier.
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
