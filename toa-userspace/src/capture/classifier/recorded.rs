//! Packets that the kernel program has classified: those of captures that `attach` wrote.

use toa_common::{counters::Counter, inspect::inspect, wire::view::Captured};

use super::{
    Classifier,
    content::{details, payload},
    count,
};
use crate::{
    capture::{Packet, recorded::Recorded},
    segment::Segment,
};

impl Classifier {
    /// Takes over what is known about a packet. Returns it as a segment if its client is watched.
    pub(in crate::capture) fn take_recorded<'a>(
        &mut self,
        packet: &Packet<'a>,
        recorded: &Recorded,
    ) -> Option<Segment<'a>> {
        let whole = Captured { bytes: packet.bytes, wire_len: packet.wire_len };
        let entered = packet.link.enter(whole).and_then(|(captured, link)| {
            inspect(&captured, link, &self.config).map(|inspected| (captured, inspected))
        });
        let (captured, inspected) = entered.map_err(|reason| self.counters.skipped(reason)).ok()?;
        let tcp = &inspected.tcp;
        let Recorded { mut attribution, generation, start, is_stray, is_doubtful, segments } = *recorded;
        if !attribution.is_named() {
            (attribution.address, attribution.port_be) = (tcp.key.source, tcp.key.source_port_be());
        }
        let is_wanted = self.balancers.trusts(tcp.key.source)
            && (self.config.follows_any() || self.matcher.watches(&attribution));
        if !is_wanted {
            self.counters.increment(Counter::Unwatched);
            return None;
        }
        if self.generation < generation {
            self.generation = generation;
            self.counters.increment(Counter::Learned);
        }
        let segment = Segment {
            key: tcp.key,
            generation,
            time_ns: packet.time_ns,
            interface_index: packet.interface,
            attribution,
            seq: tcp.seq,
            flags: tcp.flags,
            details: details(&captured, tcp, segments > 1),
            start,
            is_stray,
            is_doubtful,
            payload: payload(&captured, &inspected),
            payload_len: tcp.payload_len,
            left_out: None,
        };
        count(&mut self.counters, &segment);
        Some(segment)
    }
}
