//! Responsible for the value of the map of followed flows. Not responsible for the map.

use crate::{
    address::{Address, Client},
    follow::{Decision, Known, LearnedFrom},
    inspect::Inspected,
    limits::LINGER_NS,
    record::flags,
    seq::Seq,
    tcp_packet::{TcpPacket, is_last},
    wire::toa::Toa,
};

/// What the kernel keeps of a followed connection, by its [`crate::flow_key::FlowKey`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Flow {
    /// When it was learned, in nanoseconds of `CLOCK_MONOTONIC`; with the key, its identity.
    pub generation: u64,
    /// When its last packet came, in nanoseconds of `CLOCK_MONOTONIC`.
    pub last_ns: u64,
    /// When its first FIN or RST came, in nanoseconds of `CLOCK_MONOTONIC`; 0 while it is open.
    pub ended_ns: u64,
    /// Packets since it was learned, after GRO.
    pub packets: u64,
    /// Bytes of payload since it was learned.
    pub payload_bytes: u64,
    /// The real client's address.
    pub client_address: Address,
    /// The real client's port, in network order.
    pub client_port_be: u16,
    /// Kind of the TOA option that named the client.
    pub toa_kind: u8,
    /// Length of that option, in bytes.
    pub toa_length: u8,
    /// A [`crate::follow::LearnedFrom`].
    pub learned_from: u8,
    /// A set of [`flags`].
    pub flags: u8,
    #[doc(hidden)]
    pub _unused: u16,
    /// Sequence number of the packet that taught it.
    pub first_seq: u32,
    #[doc(hidden)]
    pub _unused_too: u32,
}

const _: () = assert!(size_of::<Flow>() == 72);

impl Flow {
    /// A connection of which nothing is known.
    pub const EMPTY: Self = Self {
        generation: 0,
        last_ns: 0,
        ended_ns: 0,
        packets: 0,
        payload_bytes: 0,
        client_address: Address([0; 4]),
        client_port_be: 0,
        toa_kind: 0,
        toa_length: 0,
        learned_from: 0,
        flags: 0,
        _unused: 0,
        first_seq: 0,
        _unused_too: 0,
    };

    /// A connection that was open before, of which something else than a packet has said at `now_ns` who the client is.
    #[must_use]
    pub fn existing(client: &Client, now_ns: u64) -> Self {
        Self {
            generation: now_ns,
            last_ns: now_ns,
            client_address: client.address,
            client_port_be: client.port_be,
            learned_from: LearnedFrom::Existing as u8,
            ..Self::EMPTY
        }
    }

    /// Writes down that `toa` names its client, on the packet that was `inspected`. A client that no TOA names is one only
    /// until one does.
    #[inline(always)]
    pub fn name_client(&mut self, inspected: &Inspected, toa: &Toa) {
        let from = LearnedFrom::from(inspected.segment_kind());
        self.client_address = toa.client.address;
        self.client_port_be = toa.client.port_be;
        self.toa_kind = toa.kind;
        self.toa_length = toa.length;
        self.learned_from = from as u8;
        self.flags = if from == LearnedFrom::Syn || !toa.is_some() { flags::PROVISIONAL } else { 0 };
        if toa.is_ambiguous() {
            self.flags |= flags::AMBIGUOUS;
        }
        if toa.is_some() && inspected.walk.has_several() {
            self.flags |= flags::MULTIPLE;
        }
    }

    /// The client that it belongs to.
    #[inline(always)]
    #[must_use]
    pub fn client(&self) -> Client {
        Client { address: self.client_address, port_be: self.client_port_be }
    }

    /// What a decision needs to know of it.
    #[inline(always)]
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            client: self.client(),
            provisional: self.flags & flags::PROVISIONAL != 0,
            first_seq: Seq(self.first_seq),
        }
    }

    /// Whether it ended so long ago that a packet of its 4-tuple belongs to another connection. The time is asked for
    /// only where it matters.
    #[inline(always)]
    #[must_use]
    pub fn is_over(&self, now_ns: impl FnOnce() -> u64) -> bool {
        self.ended_ns != 0 && now_ns().saturating_sub(self.ended_ns) > LINGER_NS
    }

    /// Writes down what was decided on one of its packets besides the action.
    #[inline(always)]
    pub fn decided(&mut self, decision: Decision) {
        if decision.conflict {
            self.flags |= flags::CONFLICT;
        }
        if decision.confirmed {
            self.flags &= !flags::PROVISIONAL;
        }
    }

    /// Writes down that one of its packets came. Returns whether it is the first that says that the connection ends.
    #[inline(always)]
    pub fn passed(&mut self, tcp: &TcpPacket, now_ns: u64) -> bool {
        self.last_ns = now_ns;
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(u64::from(tcp.payload_len));
        let ends = is_last(tcp.flags) && self.ended_ns == 0;
        if ends {
            // A time of 0 is a capture's that has none.
            self.ended_ns = now_ns.max(1);
        }
        ends
    }
}
