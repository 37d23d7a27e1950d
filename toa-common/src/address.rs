//! IP addresses, and the address and port of a client.

use core::hash::{Hash, Hasher};

use crate::{
    field::{field, ne32},
    verifier::unknown,
};

/// An IPv6 or IPv4-mapped address, as words in network order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Address(pub [u32; 4]);

impl Hash for Address {
    /// Hashes one number. Derived, it would be a slice and its length, which costs several times as much per lookup.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d] = self.0.map(u128::from);
        state.write_u128(a << 96 | b << 64 | c << 32 | d);
    }
}

/// Third word of an IPv4-mapped address, `0000:ffff` (RFC 4291 section 2.5.5.2).
const MAPPED: u32 = 0xffff_u32.to_be();

impl Address {
    /// Length of an address, in bits.
    pub const BITS: u32 = 128;

    /// Returns the IPv4-mapped address of `bytes`.
    #[inline(always)]
    pub fn from_ipv4(bytes: &[u8; 4]) -> Self {
        // From here on, both families are one state to the verifier.
        let zero = unknown(0);
        Self([zero, zero, MAPPED | zero, ne32(bytes)])
    }

    /// Returns the address of `bytes`. An IPv4-mapped address equals the result of [`Self::from_ipv4`].
    #[inline(always)]
    pub fn from_ipv6(bytes: &[u8; 16]) -> Self {
        Self([
            ne32(field::<0, 4, _>(bytes)),
            ne32(field::<4, 4, _>(bytes)),
            ne32(field::<8, 4, _>(bytes)),
            ne32(field::<12, 4, _>(bytes)),
        ])
    }

    /// Returns the address in network order, if it is IPv4-mapped.
    #[inline(always)]
    pub fn ipv4(&self) -> Option<u32> {
        let Self([a, b, c, d]) = *self;
        (a | b == 0 && c == MAPPED).then_some(d)
    }

    /// Returns the sixteen bytes in network order.
    pub fn octets(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// A real client's address and port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client {
    /// The client's address.
    pub address: Address,
    /// The client's port in network order; 0 if the option has none.
    pub port_be: u16,
}

impl Client {
    /// Returns the client's port in host order.
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
        assert_eq!(Address::from_ipv6(&bytes).ipv4(), Some(u32::from_ne_bytes([203, 0, 113, 9])));
        bytes[0] = 1;
        assert_eq!(Address::from_ipv6(&bytes).ipv4(), None);
    }
}
