//! Responsible for the TOA option: where a full-NAT load balancer writes the real client's address. Not
//! responsible for believing it.
//!
//! No standard describes it; LVS, DPVS and their kin agree on these bytes, all in network order:
//!
//! ```text
//! 0 kind   1 length   2 port   4 address: IPv4 (length 8) or IPv6 (length 20)
//! ```

use super::tcp_option::{self, Walk};
use crate::{
    flow_key::Address,
    packet::{Packet, TcpPacket},
};

/// Length of the option with an IPv4 address, in bytes.
pub const LENGTH_IPV4: u8 = 8;
/// Length of the option with an IPv6 address, in bytes.
pub const LENGTH_IPV6: u8 = 20;

/// Experiment identifiers (RFC 6994) that stand where TOA has its port, on the same kind: TCP Fast Open
/// (RFC 7413) and the kernel's BPF self-tests. Such a value may be either.
const AMBIGUOUS_PORTS: [u16; 2] = [0xf989, 0xeb9f];

/// A real client, as a TOA names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client {
    /// Its address.
    pub address: Address,
    /// Its port, as the bytes lie there.
    pub port_be: u16,
}

impl Client {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        u16::from_be(self.port_be)
    }
}

/// A TOA option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Toa {
    /// Whom it names.
    pub client: Client,
    /// The option's kind.
    pub kind: u8,
    /// The option's length, in bytes.
    pub length: u8,
}

impl Toa {
    /// Whether the option could be another protocol's.
    #[inline(always)]
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let [fast_open, self_test] = AMBIGUOUS_PORTS;
        self.kind >= 253
            && (self.client.port_be == fast_open.to_be() || self.client.port_be == self_test.to_be())
    }
}

/// The pairs of kind and length that are TOA: kind 254 with both lengths, and 253 with the longer one.
#[inline(always)]
fn is_selected(kind: u8, length: u8) -> bool {
    matches!((kind, length), (254, LENGTH_IPV4) | (253 | 254, LENGTH_IPV6))
}

/// Looks for TOA in the options of `tcp`. The first one is taken: balancers that insert put theirs first.
#[inline(always)]
pub fn find<P: Packet>(packet: &P, tcp: &TcpPacket) -> (Option<Toa>, Walk) {
    let offset = tcp.options_offset();
    let walk = tcp_option::walk(packet, offset, tcp.options_len, is_selected);
    if walk.hits == 0 {
        return (None, walk);
    }
    (read(packet, offset.wrapping_add(walk.first)), walk)
}

#[inline(always)]
fn read<P: Packet>(packet: &P, offset: u32) -> Option<Toa> {
    let [kind, length, p0, p1, a, b, c, d] = *packet.view(offset)?;
    let address = if length == LENGTH_IPV6 {
        Address::from_ipv6(packet.view(offset.wrapping_add(4))?)
    } else {
        Address::from_ipv4([a, b, c, d])
    };
    Some(Toa { client: Client { address, port_be: u16::from_ne_bytes([p0, p1]) }, kind, length })
}
