//! Responsible for the TOA option: where a full-NAT load balancer writes the real client's address. Not
//! responsible for believing it.
//!
//! No standard describes it; LVS, DPVS and their kin agree on these bytes, all in network order:
//!
//! ```text
//! 0 kind   1 length   2 port   4 address: IPv4 (length 8) or IPv6 (length 20)
//! ```

use super::{
    field::{field, ne16},
    tcp_option::{self, Walk},
};
use crate::{
    flow_key::Address,
    packet::{Packet, TcpPacket},
    verifier::opaque,
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
    /// No TOA: an option of length 0 does not exist. An `Option` would leave its bytes undefined, and what the
    /// compiler then spills is refused by the verifier.
    pub const NONE: Self =
        Self { client: Client { address: Address([0; 4]), port_be: 0 }, kind: 0, length: 0 };

    /// Whether there is one.
    #[inline(always)]
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.length != 0
    }

    /// Whether the option could be another protocol's.
    #[inline(always)]
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let [fast_open, self_test] = AMBIGUOUS_PORTS;
        self.kind >= 253
            && (self.client.port_be == fast_open.to_be() || self.client.port_be == self_test.to_be())
    }
}

/// Pairs of kind and length that balancers name a client by. A pair's place is its number, and its bit in a
/// [`Class`]. Which of them are TOA for a run is chosen by its [`ToaPairs`]; the others are counted, so that a
/// wrong choice is found.
pub const KNOWN_PAIRS: [(u8, u8); 10] = [
    // LVS, DPVS and their kin.
    (254, LENGTH_IPV4),
    (254, LENGTH_IPV6),
    // LVS v3 and Alibaba.
    (253, LENGTH_IPV6),
    // The first LVS FULLNAT, ip_vs_ca, Jupiter, Tencent Cloud, UCloud.
    (200, LENGTH_IPV4),
    // UCloud.
    (253, LENGTH_IPV4),
    // Alibaba Cloud in a VPC: client and virtual address, IPv4 and IPv6.
    (252, 20),
    (249, 40),
    // Client and virtual address, of the module "toa 3".
    (254, 16),
    // Akamai and CDNs: an address without a port, IPv4 and IPv6.
    (28, 7),
    (28, 19),
];

/// Most pairs: half the bits of a [`Class`].
pub const MAX_PAIRS: usize = 16;

/// How many of [`KNOWN_PAIRS`], from the first on, are TOA unless a run chooses others.
const DEFAULT_PAIRS: usize = 3;

/// What a pair of kind and length is: the bit of its number in the upper half if it is TOA, in the lower half if it
/// is known and not TOA, or 0.
pub type Class = u32;

/// Which pairs of kind and length are TOA, and which others are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct ToaPairs {
    /// For each kind, the classes of its pairs.
    kinds: [Class; 256],
    /// For each length, the classes of its pairs.
    lengths: [Class; 256],
}

impl ToaPairs {
    /// Kind 254 with both lengths, and 253 with the longer one.
    pub const DEFAULT: Self = Self::new(&KNOWN_PAIRS, DEFAULT_PAIRS);

    /// The first `selected` of `pairs` are TOA.
    #[expect(clippy::indexing_slicing, reason = "evaluated when the constant is made")]
    const fn new(pairs: &[(u8, u8)], selected: usize) -> Self {
        assert!(pairs.len() <= MAX_PAIRS);
        let mut this = Self { kinds: [0; 256], lengths: [0; 256] };
        let mut i = 0;
        while i < pairs.len() {
            let (kind, length) = pairs[i];
            let class = 1 << (if i < selected { MAX_PAIRS + i } else { i });
            this.kinds[kind as usize] |= class;
            this.lengths[length as usize] |= class;
            i += 1;
        }
        this
    }

    /// The known pairs that are TOA.
    pub fn selected(&self) -> impl Iterator<Item = (u8, u8)> {
        KNOWN_PAIRS.into_iter().filter(|(kind, length)| is_toa(self.class_of(*kind, *length)) != 0)
    }

    /// The class of `kind` with `length`: a pair's bit is set for its kind and for its length, and no other pair's is
    /// set for both.
    ///
    /// Reads volatile: the loader of the eBPF program sets other pairs in the object, behind the compiler's back.
    #[inline(always)]
    #[must_use]
    pub fn class_of(&self, kind: u8, length: u8) -> Class {
        read(&self.kinds, kind) & read(&self.lengths, length)
    }
}

/// Whether a class is TOA: 1, or else 0.
#[inline(always)]
pub(super) fn is_toa(class: Class) -> u32 {
    opaque((class >> MAX_PAIRS).wrapping_add(0xffff) >> MAX_PAIRS)
}

/// Which of the known pairs that are not TOA are among `classes`: a bit for each.
#[inline(always)]
pub(super) fn others(classes: Class) -> u32 {
    classes & 0xffff
}

/// The entry at `index`.
#[inline(always)]
fn read(table: &[Class; 256], index: u8) -> Class {
    // SAFETY: every index is in the table.
    unsafe { core::ptr::read_volatile(table.as_ptr().add(usize::from(index))) }
}

/// Looks for TOA in the options of `tcp`, and returns [`Toa::NONE`] where the walk hits none. The first one is
/// taken: balancers that insert put theirs first.
#[inline(always)]
pub fn find<P: Packet>(packet: &P, tcp: &TcpPacket, pairs: &ToaPairs) -> (Toa, Walk) {
    let offset = tcp.options_offset();
    let walk = tcp_option::walk(packet, offset, tcp.options_len, |kind, length| pairs.class_of(kind, length));
    if !walk.has_hit() {
        return (Toa::NONE, walk);
    }
    // What the walk has seen can be viewed.
    (decode(packet, offset.wrapping_add(walk.first())).unwrap_or(Toa::NONE), walk)
}

#[inline(always)]
fn decode<P: Packet>(packet: &P, offset: u32) -> Option<Toa> {
    let option: &[u8; LENGTH_IPV4 as usize] = packet.view(offset)?;
    let [kind, length] = *field::<0, 2, _>(option);
    let address = if length == LENGTH_IPV6 {
        Address::from_ipv6(packet.view(offset.wrapping_add(4))?)
    } else {
        Address::from_ipv4(field::<4, 4, _>(option))
    };
    let port_be = ne16(field::<2, 2, _>(option));
    Some(Toa { client: Client { address, port_be }, kind, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_class() {
        for kind in 0..=255 {
            for length in 0..=255 {
                let expected = match (kind, length) {
                    (254, 8) => 1 << 16,
                    (254, 20) => 1 << 17,
                    (253, 20) => 1 << 18,
                    (200, 8) => 1 << 3,
                    (253, 8) => 1 << 4,
                    (252, 20) => 1 << 5,
                    (249, 40) => 1 << 6,
                    (254, 16) => 1 << 7,
                    (28, 7) => 1 << 8,
                    (28, 19) => 1 << 9,
                    _ => 0,
                };
                assert_eq!(ToaPairs::DEFAULT.class_of(kind, length), expected, "{kind}:{length}");
            }
        }
    }
}
