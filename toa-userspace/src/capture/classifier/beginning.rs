//! The beginning of a connection that is followed, and the end of one for which there is no room.

use toa_common::{
    counters::Counter,
    flow::{Flow, flags},
    handshake::Handshake,
    inspect::Inspected,
    tcp_packet::TcpPacket,
    wire::tcp::SYN,
};

use super::Classifier;
use crate::{capture::Packet, ledger::add};

/// How many of the flows that have been silent for longest are examined for an ended one when there are too many.
const EXAMINED_FLOWS: usize = 64;

impl Classifier {
    /// Begins to follow a connection, whose client `handshake` or the packet's TOA names, if anything does.
    pub(super) fn begin(
        &mut self,
        packet: &Packet<'_>,
        inspected: &Inspected,
        handshake: Option<&Handshake>,
    ) {
        self.generation = packet.time_ns.max(self.generation.saturating_add(1));
        let mut flow = Flow::EMPTY;
        flow.begin(inspected, handshake, self.generation);
        if handshake.is_none() && self.is_joined(&inspected.tcp) {
            flow.flags &= !(flags::START_KNOWN | flags::START_DATA);
        } else if !flow.attribution.is_named() {
            // What the data looks like shows no start: it may be in the middle of a body.
            flow.flags &= !flags::START_DATA;
        }
        flow.interface_index = packet.interface;
        let before = self.flows.put(inspected.tcp.key, flow);
        self.replace(&inspected.tcp.key, before);
        self.counters.increment(Counter::Learned);
        while self.flows.len() > self.max_flows {
            let ended = self.flows.iter().rev().take(EXAMINED_FLOWS).find(|(_, flow)| flow.ended_ns != 0);
            let oldest = match ended.map(|(key, _)| *key) {
                Some(key) => self.flows.pop_entry(&key),
                None => self.flows.pop_lru(),
            };
            add(&mut self.evicted, u64::from(oldest.is_some_and(|(_, flow)| flow.ended_ns == 0)));
        }
    }

    /// Returns whether a packet that names a client may be from the middle of a connection of which data was seen.
    fn is_joined(&mut self, tcp: &TcpPacket) -> bool {
        let is_behind = self.unfollowed.take(tcp);
        let known = self.flows.peek(&tcp.key);
        tcp.flags & SYN == 0 && (is_behind || known.is_some_and(|flow| flow.may_contain(tcp.seq)))
    }
}
