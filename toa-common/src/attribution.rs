//! The client of a connection, and where it was learned from.

use crate::{
    address::{Address, Client},
    tcp_packet::SegmentKind,
    wire::{toa::Toa, toa_pairs::has_port},
};

/// Where a connection's client was learned from. Zero is not a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum LearnedFrom {
    /// A SYN.
    Syn = 1,
    /// A packet without payload.
    Ack = 2,
    /// A packet with payload.
    Data = 3,
    /// The server's own socket, because the connection was already open.
    Socket = 4,
    /// The balancer's table of connections.
    Table = 5,
    /// A PROXY protocol header at the start of the stream.
    Proxy = 6,
    /// What `toa-tc remember` noted of a connection that was already open.
    Remembered = 7,
}

impl LearnedFrom {
    /// Returns the variant for a byte from a record or map.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Syn),
            2 => Some(Self::Ack),
            3 => Some(Self::Data),
            4 => Some(Self::Socket),
            5 => Some(Self::Table),
            6 => Some(Self::Proxy),
            7 => Some(Self::Remembered),
            _ => None,
        }
    }

    /// Returns the name used in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Ack => "ack",
            Self::Data => "data",
            Self::Socket => "existing",
            Self::Table => "table",
            Self::Proxy => "proxy",
            Self::Remembered => "remembered",
        }
    }
}

impl From<SegmentKind> for LearnedFrom {
    #[inline(always)]
    fn from(segment: SegmentKind) -> Self {
        match segment {
            SegmentKind::Syn | SegmentKind::SynAck => Self::Syn,
            SegmentKind::Ack | SegmentKind::Rst => Self::Ack,
            SegmentKind::Data => Self::Data,
        }
    }
}

/// The client of a connection and where it was learned from, as passed between kernel and user space. 24 bytes:
///
/// ```text
///  0 client address             16 client port        18 TOA kind    19 TOA length
/// 20 learned from               21 flags              22 unused
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Attribution {
    /// The real client's address. If nothing names the client, the sender's, as for the port.
    pub address: Address,
    /// The real client's port, in network order.
    pub port_be: u16,
    /// Kind of the TOA option that named the client; 0 if none did.
    pub toa_kind: u8,
    /// Length of that option, in bytes; 0 if none named the client.
    pub toa_length: u8,
    /// A [`LearnedFrom`].
    pub learned_from: u8,
    /// A set of [`flags`].
    pub flags: u8,
    #[doc(hidden)]
    pub _unused: u16,
}

/// Bits of [`Attribution::flags`].
pub mod flags {
    /// No TOA has named the client so far, except perhaps a SYN's.
    pub const PROVISIONAL: u8 = 1;
    /// The TOA could be another protocol's option.
    pub const AMBIGUOUS: u8 = 1 << 1;
    /// The packet that named the client carried more than one TOA.
    pub const MULTIPLE: u8 = 1 << 2;
    /// A later TOA named another client.
    pub const CONFLICT: u8 = 1 << 3;
}

const _: () = assert!(size_of::<Attribution>() == 24);

/// Copies an address word by word, for the reason that [`Attribution::copy_from`] gives.
#[inline(always)]
pub fn copy_address(to: &mut Address, from: &Address) {
    let ([to_a, to_b, to_c, to_d], [a, b, c, d]) = (&mut to.0, &from.0);
    *to_a = *a;
    *to_b = *b;
    *to_c = *c;
    *to_d = *d;
}

impl Attribution {
    /// No client.
    pub const EMPTY: Self = Self {
        address: Address([0; 4]),
        port_be: 0,
        toa_kind: 0,
        toa_length: 0,
        learned_from: 0,
        flags: 0,
        _unused: 0,
    };

    /// Reads an attribution.
    pub fn decode(bytes: &[u8; size_of::<Self>()]) -> Self {
        let [address @ .., port_a, port_b, toa_kind, toa_length, learned_from, flags, unused_a, unused_b] =
            bytes;
        Self {
            address: Address::from_ipv6(address),
            port_be: u16::from_ne_bytes([*port_a, *port_b]),
            toa_kind: *toa_kind,
            toa_length: *toa_length,
            learned_from: *learned_from,
            flags: *flags,
            _unused: u16::from_ne_bytes([*unused_a, *unused_b]),
        }
    }

    /// Returns the attribution to a client that no packet named, but `source` did.
    pub fn from_outside(client: &Client, source: LearnedFrom) -> Self {
        Self { address: client.address, port_be: client.port_be, learned_from: source as u8, ..Self::EMPTY }
    }

    /// Sets the client to that of `toa`, which a packet of kind `segment` carried. `has_several` is whether that packet
    /// carried more than one TOA. The client is provisional if it was named by a SYN, or by no TOA.
    #[inline(always)]
    pub fn name(&mut self, toa: &Toa, segment: SegmentKind, has_several: bool) {
        let from = LearnedFrom::from(segment);
        copy_address(&mut self.address, &toa.client.address);
        self.port_be = toa.client.port_be;
        self.toa_kind = toa.kind;
        self.toa_length = toa.length;
        self.learned_from = from as u8;
        self.flags = if from == LearnedFrom::Syn || !toa.is_some() { flags::PROVISIONAL } else { 0 };
        if toa.is_ambiguous() {
            self.flags |= flags::AMBIGUOUS;
        }
        if toa.is_some() && has_several {
            self.flags |= flags::MULTIPLE;
        }
    }

    /// Copies `other` field by field. For an assignment, the compiler calls a function, which takes space on the stack of
    /// the kernel program.
    #[inline(always)]
    pub fn copy_from(&mut self, other: &Self) {
        copy_address(&mut self.address, &other.address);
        self.port_be = other.port_be;
        self.toa_kind = other.toa_kind;
        self.toa_length = other.toa_length;
        self.learned_from = other.learned_from;
        self.flags = other.flags;
    }

    /// Records that a later packet named the same client.
    #[inline(always)]
    pub fn confirm(&mut self) {
        self.flags &= !flags::PROVISIONAL;
    }

    /// Records that a later packet named another client.
    #[inline(always)]
    pub fn conflict(&mut self) {
        self.flags |= flags::CONFLICT;
    }

    /// Returns the client.
    #[inline(always)]
    pub fn client(&self) -> Client {
        Client { address: self.address, port_be: self.port_be }
    }

    /// Returns whether anything names the client: not if only packets without TOA were seen. The client is then assumed to
    /// be their sender.
    #[inline(always)]
    pub fn is_named(&self) -> bool {
        self.toa_length != 0 || self.learned_from > LearnedFrom::Data as u8
    }

    /// Returns whether the client's port is known.
    pub fn has_port(&self) -> bool {
        has_port(self.toa_kind, self.toa_length)
    }

    /// Returns the kind and length of the TOA option that named the client, if one did.
    pub fn toa(&self) -> Option<(u8, u8)> {
        (self.toa_length != 0).then_some((self.toa_kind, self.toa_length))
    }

    /// Returns where the client was learned from, or `None` if the byte is not a valid value.
    pub fn learned_from(&self) -> Option<LearnedFrom> {
        LearnedFrom::from_byte(self.learned_from)
    }

    /// Returns whether the client may still be replaced, see [`flags::PROVISIONAL`].
    #[inline(always)]
    pub fn is_provisional(&self) -> bool {
        self.flags & flags::PROVISIONAL != 0
    }

    /// Returns whether a later TOA named another client.
    pub fn is_conflicting(&self) -> bool {
        self.flags & flags::CONFLICT != 0
    }

    /// Returns whether the TOA could be another protocol's option.
    pub fn is_ambiguous(&self) -> bool {
        self.flags & flags::AMBIGUOUS != 0
    }
}
