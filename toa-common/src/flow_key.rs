//! Responsible for the key of a connection. Not responsible for what is known of it.

use crate::address::Address;

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
    pub fn source_port(&self) -> u16 {
        let [a, b, _, _] = self.ports.to_ne_bytes();
        u16::from_be_bytes([a, b])
    }

    /// The destination port.
    pub fn destination_port(&self) -> u16 {
        let [_, _, c, d] = self.ports.to_ne_bytes();
        u16::from_be_bytes([c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_the_first_bytes_of_the_header() {
        let any = Address::from_ipv4(&[0; 4]);
        let ports = u32::from_ne_bytes([0xd4, 0x31, 0x00, 0x50]);
        let key = FlowKey { source: any, destination: any, ports };
        assert_eq!((key.source_port(), key.destination_port()), (54321, 80));
    }
}
