//! Responsible for addresses and for the key of a connection. Not responsible for what is known of it.

use crate::{
    verifier::forget,
    wire::field::{field, ne32},
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
    #[must_use]
    pub fn from_ipv4(bytes: &[u8; 4]) -> Self {
        // For the verifier, the two families are one from here on.
        let zero = forget(0);
        Self([zero, zero, MAPPED | zero, ne32(bytes)])
    }

    /// The address of sixteen bytes. A mapped IPv4 address stays what it is: equal to [`Self::from_ipv4`].
    #[inline(always)]
    #[must_use]
    pub fn from_ipv6(bytes: &[u8; 16]) -> Self {
        Self([
            ne32(field::<0, 4, _>(bytes)),
            ne32(field::<4, 4, _>(bytes)),
            ne32(field::<8, 4, _>(bytes)),
            ne32(field::<12, 4, _>(bytes)),
        ])
    }

    /// The sixteen bytes in network order.
    #[must_use]
    pub fn octets(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// One direction of a TCP connection: its 4-tuple, as the packets at the hook carry it.
///
/// Made of words only: a key with byte arrays and swapped ports costs 23 ns more per packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct FlowKey {
    /// Who sent the packet: behind a full-NAT balancer, the balancer.
    pub source: Address,
    /// Who receives it: this host.
    pub destination: Address,
    /// The first four bytes of the TCP header: source port, destination port.
    pub ports: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 36);

impl FlowKey {
    /// The source port.
    #[must_use]
    pub fn source_port(&self) -> u16 {
        let [a, b, _, _] = self.ports.to_ne_bytes();
        u16::from_be_bytes([a, b])
    }

    /// The destination port.
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        let [_, _, c, d] = self.ports.to_ne_bytes();
        u16::from_be_bytes([c, d])
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

    #[test]
    fn ports_are_the_first_bytes_of_the_header() {
        let any = Address::from_ipv4(&[0; 4]);
        let ports = u32::from_ne_bytes([0xd4, 0x31, 0x00, 0x50]);
        let key = FlowKey { source: any, destination: any, ports };
        assert_eq!((key.source_port(), key.destination_port()), (54321, 80));
    }
}
