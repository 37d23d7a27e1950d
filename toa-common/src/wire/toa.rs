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

/// Which pairs of kind and length are TOA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct ToaPairs {
    /// For each kind, a bit for each length class.
    kinds: [u8; 256],
    /// For each length below 64, the bit of its class, or 0.
    lengths: [u8; 64],
}

impl ToaPairs {
    /// Kind 254 with both lengths, and 253 with the longer one.
    pub const DEFAULT: Self = Self::new(&[(254, LENGTH_IPV4), (254, LENGTH_IPV6), (253, LENGTH_IPV6)]);

    #[expect(clippy::indexing_slicing, reason = "evaluated when the constant is made")]
    const fn new(pairs: &[(u8, u8)]) -> Self {
        let mut this = Self { kinds: [0; 256], lengths: [0; 64] };
        this.lengths[LENGTH_IPV4 as usize] = 1;
        this.lengths[LENGTH_IPV6 as usize] = 1 << 1;
        let mut i = 0;
        while i < pairs.len() {
            let (kind, length) = pairs[i];
            this.kinds[kind as usize] |= this.lengths[length as usize];
            i += 1;
        }
        this
    }

    /// 1 if `kind` with `length` is TOA, else 0.
    ///
    /// Reads volatile: the loader of the eBPF program sets other pairs in the object, behind the compiler's back.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, kind: u8, length: u8) -> u32 {
        let classes = read(&self.kinds, kind as usize);
        let class = read(&self.lengths, (length & 63) as usize) * u8::from(length < 64);
        opaque((u32::from(classes & class).wrapping_add(255)) >> 8)
    }
}

/// The entry at `index`, which is below `N`, a power of two.
#[inline(always)]
fn read<const N: usize>(table: &[u8; N], index: usize) -> u8 {
    const { assert!(N.is_power_of_two()) };
    // SAFETY: the masked index is in the table.
    unsafe { core::ptr::read_volatile(table.as_ptr().add(index & (N - 1))) }
}

/// Looks for TOA in the options of `tcp`, and returns [`Toa::NONE`] where the walk hits none. The first one is
/// taken: balancers that insert put theirs first.
#[inline(always)]
pub fn find<P: Packet>(packet: &P, tcp: &TcpPacket, pairs: &ToaPairs) -> (Toa, Walk) {
    let offset = tcp.options_offset();
    let walk = tcp_option::walk(packet, offset, tcp.options_len, |kind, length| pairs.contains(kind, length));
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
