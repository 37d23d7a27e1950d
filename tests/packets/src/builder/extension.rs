//! Responsible for the bytes of IPv6 extension headers (RFC 8200 section 4, RFC 4302 section 2). Not responsible for
//! their order, nor for the first byte of each: the packet that they are put into writes that.

/// Hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Routing.
pub const ROUTING: u8 = 43;
/// Fragment.
pub const FRAGMENT: u8 = 44;
/// Authentication.
pub const AUTHENTICATION: u8 = 51;
/// Destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// An extension header: its number and its bytes.
pub type Extension = (u8, Vec<u8>);

/// Hop-by-hop options of so many bytes, a multiple of eight, all of them padding.
pub fn hop_by_hop(bytes: usize) -> Extension {
    (HOP_BY_HOP, with_length(bytes, 8, 1))
}

/// Destination options of so many bytes, a multiple of eight, all of them padding.
pub fn destination_options(bytes: usize) -> Extension {
    (DESTINATION_OPTIONS, with_length(bytes, 8, 1))
}

/// A routing header of so many bytes, a multiple of eight, with no segment left.
pub fn routing(bytes: usize) -> Extension {
    (ROUTING, with_length(bytes, 8, 1))
}

/// An authentication header of so many bytes, a multiple of four and at least twelve.
pub fn authentication(bytes: usize) -> Extension {
    (AUTHENTICATION, with_length(bytes, 4, 2))
}

/// A fragment header: the fragment's offset in units of eight bytes, and whether more follow.
pub fn fragment(offset: u16, more: bool) -> Extension {
    let field = (offset << 3 | u16::from(more)).to_be_bytes();
    (FRAGMENT, [&[0, 0], &field[..], &[0, 0, 0, 1]].concat())
}

/// A header whose second byte is its length in `unit`s, of which `uncounted` are not counted.
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
