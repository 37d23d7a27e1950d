//! The TOA option, in which a full-NAT load balancer writes the real client's address.
//!
//! No standard describes it. LVS, DPVS and related balancers agree on the first of these layouts, with lengths 8 and
//! 20. All fields are in network order. Bytes after the client's address are not read:
//!
//! ```text
//! 0 kind   1 length   2 port      4 address: IPv4 (8, 16, 252:20) or IPv6 (20, 40)
//! 0 kind   1 length   2 port      4 magic number   8 address: IPv6 (254:24)
//! 0 kind   1 length   2 version   3 address: IPv4 (28:7, version 1) or IPv6 (28:19)
//! 0 kind   1 length   2 address: IPv4 (6) or IPv6 (18)
//! ```

use super::{
    toa_pairs::{LENGTH_IPV6, LENGTH_IPV6_WITHOUT_PORT, has_port, has_version},
    view::PacketView,
};
use crate::{
    address::{Address, Client},
    field::{byte, field, ne16},
    verifier::black_box,
};

/// Returns whether `id` is the experiment identifier of an option with the same kinds (RFC 6994). It is in the bytes
/// where TOA has its port. The identifiers are those of IANA's registry "TCP/UDP Experimental Option Experiment
/// Identifiers", and that of the kernel's BPF self-tests, which is not registered.
#[inline(always)]
fn is_experiment(id: u16) -> bool {
    matches!(
        id,
        0x00ac // ACK rate request
            | 0x0348 // Host ID, whose form for IPv4 also has length 8
            | 0x0a0d // autonomous system compensation
            | 0x0ca0 // capabilities
            | 0x0ed0 // extended data offset
            | 0x454e // encryption negotiation (RFC 8547)
            | 0x5323 // service number
            | 0x75ec // timestamp interval
            | 0xacc0 | 0xacc1 | 0xacce // accurate ECN
            | 0xe2d4 // the first half of 0xe2d4c3d9: shared memory communications (RFC 7609)
            | 0xeb9f // the BPF self-tests (tools/testing/selftests/bpf/test_tcp_hdr_options.h)
            | 0xf989 // Fast Open (RFC 7413)
            | 0xf990 // low latency
    )
}

/// A TOA option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Toa {
    /// The client that it names.
    pub client: Client,
    /// The option's kind.
    pub kind: u8,
    /// The option's length, in bytes.
    pub length: u8,
}

impl Toa {
    /// Returns the value for no TOA, whose length is 0, as no option's is. An `Option` would leave its bytes undefined,
    /// and the verifier rejects what the compiler then spills.
    #[inline(always)]
    pub fn none() -> Self {
        // A zero that is unknown to the compiler, or it would call `memset`, which writes byte by byte.
        let zero = black_box(0) as u32;
        Self {
            client: Client { address: Address([zero; 4]), port_be: zero as u16 },
            kind: zero as u8,
            length: zero as u8,
        }
    }

    /// Returns whether there is a TOA.
    #[inline(always)]
    pub fn is_some(&self) -> bool {
        self.length != 0
    }

    /// Returns whether it names a port.
    #[inline(always)]
    pub fn has_port(&self) -> bool {
        has_port(self.kind, self.length)
    }

    /// Returns whether the option could be another protocol's.
    #[inline(always)]
    pub fn is_ambiguous(&self) -> bool {
        self.kind >= 253 && is_experiment(u16::from_be(self.client.port_be))
    }
}

/// Returns where the address of a TOA of this kind and length is, in bytes from the kind.
#[inline(always)]
pub const fn address_at(kind: u8, length: u8) -> u32 {
    match (kind, length) {
        _ if has_version(kind, length) => 3,
        _ if !has_port(kind, length) => 2,
        (254, 24) => 8,
        _ => 4,
    }
}

/// Returns whether the address of a TOA of this kind and length is IPv6.
#[inline(always)]
pub const fn has_ipv6(kind: u8, length: u8) -> bool {
    matches!(length, LENGTH_IPV6_WITHOUT_PORT | 19 | LENGTH_IPV6 | 24 | 40) && kind != 252
}

/// Decodes the TOA at `offset`. Returns `None` if its version is unknown.
#[inline(always)]
pub(crate) fn decode<P: PacketView>(packet: &P, offset: u32) -> Option<Toa> {
    let option: &[u8; 4] = packet.bytes(offset)?;
    let (kind, length) = (byte::<0, _>(option), byte::<1, _>(option));
    let (has_port, has_version) = (has_port(kind, length), has_version(kind, length));
    if has_version && length == 7 && byte::<2, _>(option) != 1 {
        return None;
    }
    let address_at = offset.wrapping_add(address_at(kind, length));
    let address = if has_ipv6(kind, length) {
        Address::from_ipv6(packet.bytes(address_at)?)
    } else {
        Address::from_ipv4(packet.bytes(address_at)?)
    };
    let port_be = if has_port { ne16(field::<2, 2, _>(option)) } else { 0 };
    Some(Toa { client: Client { address, port_be }, kind, length })
}
