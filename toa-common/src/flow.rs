//! The kernel's state of a followed connection.
//!
//! # When a connection ends
//! Only one direction is visible, so an end is a guess. A RST counts only at the next expected sequence number, and a FIN
//! only in sequence (RFC 9293 section 3.10.7.4, RFC 5961 section 3). If payload continues the stream afterwards, the
//! server did not accept the end, and it is taken back. An ended connection stays in the map until it has been silent
//! for a while.

use crate::{
    attribution::Attribution,
    flow_key::FlowKey,
    handshake::Handshake,
    inspect::Inspected,
    seq::Seq,
    tcp_packet::{SegmentKind, TcpPacket},
    verifier::black_box,
    wire::tcp::{FIN, RST, SYN},
};

/// How far a segment may be from the next expected byte, in bytes: more than the receive buffers of servers hold (Linux:
/// 6 MiB by default, `net.ipv4.tcp_rmem`).
pub const WINDOW_BYTES: u32 = 16 << 20;

/// How far a segment with another client's TOA may be from the next expected byte to count as part of the same
/// connection. Of new connections that reuse the 4-tuple, 1 in 2,048 begins in this range by chance.
const CONTINUATION_BYTES: u32 = 1 << 20;

/// How far from the next expected byte a segment may be to count as reordered or sent again. Of new connections that reuse
/// the 4-tuple of an open one, 1 in 32,768 begins in this range by chance.
const REORDERED_BYTES: u32 = 65_535;

/// How many segments must follow each other outside of the window before the stream is assumed to have moved there:
/// the packets in between were lost before they could be seen.
pub const MAX_STRAYS: u32 = 16;

/// How many segments must follow each other inside the window, but beyond what reordering explains. A single one may be
/// forged: the server's own window, which is not visible, may be much smaller.
const MAX_AHEAD: u32 = 4;

/// A followed connection. It is a value of the map `FLOWS`, whose key is a [`FlowKey`]. Times are in nanoseconds of
/// `CLOCK_MONOTONIC`. 96 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Flow {
    /// When it was learned. Identifies the connection, together with the key.
    pub generation: u64,
    /// When its last packet arrived.
    pub last_ns: u64,
    /// When it ended; 0 while it is open.
    pub ended_ns: u64,
    /// Packets since it was learned, after GRO.
    pub packets: u64,
    /// Bytes of payload since it was learned.
    pub payload_bytes: u64,
    /// Its client, and where that was learned from.
    pub attribution: Attribution,
    /// Sequence number of its first byte, as far as [`flags`] say, or of the packet that first named its client.
    pub start_seq: u32,
    /// Sequence number after the highest byte seen, except in segments far ahead.
    pub next_seq: u32,
    /// Sequence number of a FIN that arrived ahead of missing bytes.
    pub fin_seq: u32,
    /// Sequence number after the last segment outside of the window or far ahead.
    pub stray_seq: u32,
    /// Consecutive segments outside of the window or far ahead, each continuing the one before.
    pub strays: u32,
    /// Index of the interface that received its first packet; 0 if that is not known.
    pub interface_index: u32,
    /// Its ports, as in the key. Tells whether the entry was reused for another connection while a packet is handled.
    pub ports: u32,
    /// A set of [`flags`].
    pub flags: u16,
    /// VLAN tag of its first packet from the packet's metadata, or 0.
    pub vlan_tci: u16,
}

/// Bits of [`Flow::flags`].
pub mod flags {
    /// [`super::Flow::start_seq`] is the sequence number of the first byte.
    pub const START_KNOWN: u16 = 1;
    /// [`super::Flow::start_seq`] is that of the first packet with payload, which named the client. If several packets
    /// name it, an earlier one may still arrive.
    pub const START_DATA: u16 = 1 << 1;
    /// [`super::Flow::next_seq`] is known.
    pub const NEXT_KNOWN: u16 = 1 << 2;
    /// A SYN arrived that may open another connection.
    pub const CHALLENGED: u16 = 1 << 3;
    /// A FIN arrived ahead of missing bytes.
    pub const FIN_AHEAD: u16 = 1 << 4;
    /// The connection ended with a FIN.
    pub const FIN_SEEN: u16 = 1 << 5;
    /// The server's socket was found: it is on this host, so that the connection has ended when it is gone.
    pub const SOCKET_SEEN: u16 = 1 << 6;
    /// In a record only: it is no packet, but [plaintext](crate::plaintext::PlaintextRecord).
    pub const PLAINTEXT: u16 = 1 << 13;
    /// In a record only: the server may discard the packet, because its ACK number is older than any that a client sends.
    pub const DOUBTFUL: u16 = 1 << 14;
    /// In a record only: the packet is a stray, see [`super::Change::is_stray`].
    pub const STRAY: u16 = 1 << 15;
}

const _: () = assert!(size_of::<Flow>() == 96);

/// What a packet changed, to be counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each counted")]
pub struct Change {
    /// The connection has ended.
    pub ended: bool,
    /// The connection had ended, but goes on.
    pub reopened: bool,
    /// The packet is outside of the window, or is a RST at another place than the next byte. A server ignores it.
    pub is_stray: bool,
    /// The packet follows the end of the connection and does not continue it.
    pub is_after_end: bool,
}

impl Flow {
    /// A flow with all fields zero.
    pub const EMPTY: Self = Self {
        generation: 0,
        last_ns: 0,
        ended_ns: 0,
        packets: 0,
        payload_bytes: 0,
        attribution: Attribution::EMPTY,
        start_seq: 0,
        next_seq: 0,
        fin_seq: 0,
        stray_seq: 0,
        strays: 0,
        interface_index: 0,
        ports: 0,
        flags: 0,
        vlan_tci: 0,
    };

    /// Begins the flow of the connection of `inspected`, whose TOA names its client unless `handshake`, which the packet
    /// completed, does.
    #[inline(always)]
    pub fn begin(&mut self, inspected: &Inspected, handshake: Option<&Handshake>, generation: u64) {
        let tcp = &inspected.tcp;
        let segment = inspected.segment_kind();
        // Field by field: see `Attribution::copy_from`.
        self.generation = generation;
        let zero = black_box(0);
        (self.last_ns, self.ended_ns, self.packets, self.payload_bytes) = (zero, zero, zero, zero);
        let zero = zero as u32;
        (self.fin_seq, self.stray_seq, self.strays, self.interface_index) = (zero, zero, zero, zero);
        (self.ports, self.vlan_tci) = (tcp.key.ports, zero as u16);
        match handshake {
            Some(handshake) if handshake.is_watched() => {
                self.attribution.copy_from(&handshake.attribution);
                if inspected.toa.is_some() {
                    if inspected.toa.client == handshake.attribution.client() {
                        self.attribution.confirm();
                    } else {
                        inspected.name(&mut self.attribution);
                    }
                }
            }
            _ => inspected.name(&mut self.attribution),
        }
        self.start_seq = match handshake {
            Some(handshake) => handshake.start().0,
            None => tcp.first_byte().0,
        };
        self.next_seq = self.start_seq;
        self.flags = flags::NEXT_KNOWN
            | if handshake.is_none() && segment == SegmentKind::Data {
                flags::START_DATA
            } else {
                flags::START_KNOWN
            };
    }

    /// Returns whether a flag is set.
    #[inline(always)]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns whether the entry is that of the connection with this key. It is another's if it was reused.
    #[inline(always)]
    pub fn is_of(&self, key: &FlowKey) -> bool {
        self.ports == key.ports
    }

    /// Returns whether a SYN with sequence number `syn` is a retransmission or duplicate of the SYN that opened the
    /// connection. A new connection has another initial sequence number (RFC 6528).
    #[inline(always)]
    pub fn began_with(&self, syn: Seq) -> bool {
        matches!(Seq(self.start_seq).distance(syn), 0 | 1)
    }

    /// Returns whether a segment at `seq` is one of the next, or one of the last that is sent again. If the connection has
    /// ended, only the next one takes that back.
    #[inline(always)]
    pub fn is_continued_by(&self, seq: Seq) -> bool {
        let ahead = seq.distance(Seq(self.next_seq));
        let limit = if self.ended_ns == 0 { REORDERED_BYTES } else { 0 };
        self.has(flags::NEXT_KNOWN) && is_within(ahead, limit)
    }

    /// Returns whether `seq` is the next expected byte or the one after it.
    #[inline(always)]
    pub fn expects(&self, seq: Seq) -> bool {
        self.has(flags::NEXT_KNOWN) && matches!(seq.distance(Seq(self.next_seq)), 0 | 1)
    }

    /// Returns whether a segment at `seq` may belong to it: one in the window or, if it has ended, near the end, which may
    /// be taken back.
    #[inline(always)]
    pub fn may_contain(&self, seq: Seq) -> bool {
        let ahead = seq.distance(Seq(self.next_seq));
        let limit = if self.ended_ns == 0 { WINDOW_BYTES } else { REORDERED_BYTES };
        !self.has(flags::NEXT_KNOWN) || is_within(ahead, limit)
    }

    /// Returns whether a segment at `seq` is near the next expected byte or, if the connection has ended, right there.
    #[inline(always)]
    pub fn is_near(&self, seq: Seq) -> bool {
        let limit = if self.ended_ns == 0 { CONTINUATION_BYTES } else { 0 };
        !self.has(flags::NEXT_KNOWN) || is_within(seq.distance(Seq(self.next_seq)), limit)
    }

    /// Returns whether a packet without options of interest carries the next bytes, and nothing about it needs a decision:
    /// [`decide`](crate::follow::decide) follows it, and [`Self::track`] does what [`Self::move_on`] does.
    #[inline(always)]
    pub fn is_just_continued_by(&self, tcp: &TcpPacket) -> bool {
        let others = flags::CHALLENGED | flags::FIN_AHEAD;
        self.flags & (flags::NEXT_KNOWN | others) == flags::NEXT_KNOWN
            && self.next_seq == tcp.seq.0
            && self.ended_ns == 0
            && self.is_of(&tcp.key)
            && tcp.payload_len != 0
            && tcp.flags & (SYN | FIN | RST) == 0
    }

    /// Returns whether it ended and has been silent for longer than `linger_ns`.
    pub fn has_lingered(&self, now_ns: u64, linger_ns: u64) -> bool {
        self.ended_ns != 0 && now_ns.saturating_sub(self.last_ns) > linger_ns
    }

    /// Returns whether a packet arrived on another interface or VLAN than the first one.
    #[inline(always)]
    pub fn is_elsewhere(&self, interface_index: u32, vlan_tci: u16) -> bool {
        self.interface_index != 0 && (self.interface_index != interface_index || self.vlan_tci != vlan_tci)
    }

    /// Records a packet that [just continues](Self::is_just_continued_by) it.
    #[inline(always)]
    pub fn move_on(&mut self, tcp: &TcpPacket, now_ns: u64) {
        self.count(tcp, now_ns);
        self.strays = 0;
        self.next_seq = (tcp.seq + tcp.payload_len).0;
    }

    #[inline(always)]
    fn count(&mut self, tcp: &TcpPacket, now_ns: u64) {
        self.last_ns = now_ns;
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(u64::from(tcp.payload_len));
    }

    /// Records one of its packets.
    #[inline(always)]
    pub fn track(&mut self, tcp: &TcpPacket, now_ns: u64) -> Change {
        self.count(tcp, now_ns);
        let start = tcp.first_byte();
        let mut change = Change::default();
        if tcp.flags & RST != 0 {
            self.reset(start, now_ns, &mut change);
        } else if tcp.payload_len != 0 || tcp.flags & FIN != 0 {
            self.advance(start, tcp, now_ns, &mut change);
        }
        change
    }

    /// Handles a RST: only one at the next expected byte ends the connection, or right after its FIN.
    #[inline(always)]
    fn reset(&mut self, seq: Seq, now_ns: u64, change: &mut Change) {
        let ahead = seq.distance(Seq(self.next_seq));
        let is_next = ahead == 0 || (ahead == 1 && self.has(flags::FIN_SEEN));
        if is_next || !self.has(flags::NEXT_KNOWN) {
            self.end(now_ns, change);
        } else {
            change.is_stray = true;
        }
    }

    /// Handles payload and FIN.
    #[inline(always)]
    fn advance(&mut self, start: Seq, tcp: &TcpPacket, now_ns: u64, change: &mut Change) {
        let end = start + tcp.payload_len;
        if !self.has(flags::NEXT_KNOWN) {
            self.next_seq = start.0;
            self.flags |= flags::NEXT_KNOWN;
        }
        let mut ahead = start.distance(Seq(self.next_seq));
        let is_stray = !is_within(ahead, WINDOW_BYTES);
        if is_stray || ahead > REORDERED_BYTES.cast_signed() {
            self.strays = if start.0 == self.stray_seq { self.strays.wrapping_add(1) } else { 1 };
            self.stray_seq = end.0;
            if self.strays < if is_stray { MAX_STRAYS } else { MAX_AHEAD } {
                change.is_stray = is_stray;
                return;
            }
            self.next_seq = start.0;
            ahead = 0;
        }
        self.strays = 0;
        let is_contiguous = ahead <= 0;
        let advance = end.distance(Seq(self.next_seq));
        let is_new = tcp.payload_len != 0 && advance > 0;
        if is_new && self.ended_ns != 0 {
            if !is_contiguous {
                change.is_after_end = true;
                return;
            }
            self.ended_ns = 0;
            self.flags &= !flags::FIN_SEEN;
            change.reopened = true;
        }
        if is_new {
            self.next_seq = end.0;
        }
        let fin = end.distance(Seq(self.fin_seq));
        if tcp.flags & FIN != 0 {
            if is_contiguous && end.0 != self.next_seq {
                change.is_stray = true;
            } else if is_contiguous {
                self.flags = (self.flags & !flags::FIN_AHEAD) | flags::FIN_SEEN;
                self.end(now_ns, change);
            } else {
                self.flags |= flags::FIN_AHEAD;
                self.fin_seq = end.0;
            }
        } else if self.has(flags::FIN_AHEAD) {
            if fin > 0 {
                // Payload where the FIN was: the server did not accept the FIN.
                self.flags &= !flags::FIN_AHEAD;
            } else if self.next_seq == self.fin_seq {
                self.flags = (self.flags & !flags::FIN_AHEAD) | flags::FIN_SEEN;
                self.end(now_ns, change);
            }
        }
    }

    #[inline(always)]
    fn end(&mut self, now_ns: u64, change: &mut Change) {
        if self.ended_ns == 0 {
            // At least 1: a capture without timestamps has time 0, which would mean that it is open.
            self.ended_ns = now_ns.max(1);
            change.ended = true;
        }
    }
}

/// Returns whether a distance is at most `bytes` in either direction.
#[inline(always)]
fn is_within(distance: i32, bytes: u32) -> bool {
    distance.cast_unsigned().wrapping_add(bytes) <= 2 * bytes
}

#[cfg(test)]
mod tests;
