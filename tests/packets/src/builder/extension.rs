//! The bytes of IPv6 extension headers (RFC 8200 section 4, RFC 4302 section 2).
//! [`PacketBuilder`](super::PacketBuilder) writes the first byte of each, the next header.

/// Next-header number of hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next-header number of a routing header.
pub const ROUTING: u8 = 43;
/// Next-header number of a fragment header.
pub const FRAGMENT: u8 = 44;
/// Next-header number of an authentication header.
pub const AUTHENTICATION: u8 = 51;
/// Next-header number of destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// An extension header: its number and its bytes.
pub type Extension = (u8, Vec<u8>);

/// Returns hop-by-hop options of `bytes` bytes, all padding. `bytes` must be a multiple of eight.
pub fn hop_by_hop(bytes: usize) -> Extension {
    (HOP_BY_HOP, with_length(bytes, 8, 1))
}

/// Returns destination options of `bytes` bytes, all padding. `bytes` must be a multiple of eight.
pub fn destination_options(bytes: usize) -> Extension {
    (DESTINATION_OPTIONS, with_length(bytes, 8, 1))
}

/// Returns a routing header of `bytes` bytes with no segments left. `bytes` must be a multiple of eight.
pub fn routing(bytes: usize) -> Extension {
    (ROUTING, with_length(bytes, 8, 1))
}

/// Returns an authentication header of this many bytes, a multiple of four and at least twelve.
pub fn authentication(bytes: usize) -> Extension {
    (AUTHENTICATION, with_length(bytes, 4, 2))
}

/// Returns a fragment header with its offset in units of eight bytes and whether more fragments follow.
pub fn fragment(offset: u16, more: bool) -> Extension {
    let field = (offset << 3 | u16::from(more)).to_be_bytes();
    (FRAGMENT, [&[0, 0], &field[..], &[0, 0, 0, 1]].concat())
}

/// Returns a header whose second byte is its length in `unit`s minus `uncounted`.
fn with_length(bytes: usize, unit: usize, uncounted: usize) -> Vec<u8> {
    let mut header = vec![0; bytes];
    if let Some(length) = header.get_mut(1) {
        *length = u8::try_from((bytes / unit).saturating_sub(uncounted)).unwrap_or(u8::MAX);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_the_units_of_each_header() {
        assert_eq!(hop_by_hop(8), (0, vec![0; 8]));
        assert_eq!(destination_options(24).1[..3], [0, 2, 0]);
        assert_eq!((routing(2048).1[1], routing(2048).1.len()), (255, 2048));
        assert_eq!((authentication(12).1[1], authentication(24).1[1]), (1, 4));
        assert_eq!(fragment(185, true), (44, vec![0, 0, 0x05, 0xc9, 0, 0, 0, 1]));
        assert_eq!(fragment(0, false).1[2..4], [0, 0]);
    }
}
