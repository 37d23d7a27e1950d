//! Responsible for addresses, and for the real client. Not responsible for where they stand in packets.

use crate::{
    field::{field, ne32},
    verifier::unknown,
};

/// An IPv6 address or a mapped IPv4 one, in words of network order.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct Address(pub [u32; 4]);

/// Third word of an IPv4-mapped address, `0000:ffff` (RFC 4291 section 2.5.5.2).
const MAPPED: u32 = 0xffff_u32.to_be();

impl Address {
    /// Bits of an address.
    pub const BITS: u32 = 128;

    /// The IPv4 address of four bytes, mapped.
    #[inline(always)]
    pub fn from_ipv4(bytes: &[u8; 4]) -> Self {
        // For the verifier, the two families are one from here on.
        let zero = unknown(0);
        Self([zero, zero, MAPPED | zero, ne32(bytes)])
    }

    /// The address of sixteen bytes. A mapped IPv4 address stays what it is: equal to [`Self::from_ipv4`].
    #[inline(always)]
    pub fn from_ipv6(bytes: &[u8; 16]) -> Self {
        Self([
            ne32(field::<0, 4, _>(bytes)),
            ne32(field::<4, 4, _>(bytes)),
            ne32(field::<8, 4, _>(bytes)),
            ne32(field::<12, 4, _>(bytes)),
        ])
    }

    /// The sixteen bytes in network order.
    pub fn octets(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// A real client, as a TOA names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client {
    /// Its address.
    pub address: Address,
    /// Its port, as the bytes lie there; 0 where the option has none.
    pub port_be: u16,
}

impl Client {
    /// Its port.
    pub fn port(&self) -> u16 {
        u16::from_be(self.port_be)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_ipv6_equals_ipv4() {
        let mut bytes = [0; 16];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 9]);
        assert_eq!(Address::from_ipv6(&bytes), Address::from_ipv4(&[203, 0, 113, 9]));
        assert_eq!(Address::from_ipv4(&[203, 0, 113, 9]).octets(), bytes);
    }
}
