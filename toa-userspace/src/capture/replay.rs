//! Classifier and pipeline, combined to turn the packets of captures into requests.
//!
//! ```text
//! loop { while let Next::Packet(packet) = reader.next_packet()? { replay.packet(packet, sink) }
//!        if reader.fill(input)? == 0 { break } }
//! replay.finish(sink)
//! ```

use std::net::IpAddr;

use crate::{
    address::to_ip,
    capture::{
        Packet, Tunnels,
        classifier::{Classified, Classifier, Selection},
    },
    ledger::{
        Ledger, add,
        counters::Snapshot,
        examples::{Examples, MAX_EXAMPLES},
    },
    limits::Limits,
    pipeline::{Pipeline, Sink},
    rule::matcher::Matcher,
};

/// Replays the packets of captures.
#[derive(Debug)]
pub struct Replay {
    tunnels: Tunnels,
    classifier: Classifier,
    pipeline: Pipeline,
    /// Some of the clients that a TOA named.
    clients: Vec<IpAddr>,
    /// Packets that were read.
    packets: u64,
    /// When the latest packet was captured, in nanoseconds since the Unix epoch.
    now_ns: u64,
    /// How long an earlier packet may still follow, in nanoseconds.
    patience_ns: u64,
}

impl Replay {
    /// Creates a replay that has read nothing.
    pub fn new(selection: Selection, limits: Limits) -> Self {
        // What is missing may be anywhere in the rest of the capture, and time may make steps.
        let limits = Limits { patience_ns: u64::MAX, idle_ns: u64::MAX, ..limits };
        let patience_ns = limits.start_ns;
        let mut pipeline = Pipeline::new(limits);
        if selection.config.follows_any() && !selection.rules.is_empty() {
            pipeline = pipeline.with_rules(Matcher::new(&selection.rules));
        }
        Self {
            tunnels: Tunnels::default(),
            classifier: Classifier::new(selection).without_syns(),
            patience_ns,
            pipeline,
            clients: Vec::new(),
            packets: 0,
            now_ns: 0,
        }
    }

    /// Processes the next packet in the order of time.
    pub fn packet(&mut self, mut packet: Packet<'_>, sink: &mut impl Sink) {
        if packet.time_ns == 0 {
            packet.time_ns = self.now_ns;
        }
        self.now_ns = packet.time_ns;
        add(&mut self.packets, 1);
        // Everything older was handed in, because captures are in order of time, or nearly so.
        self.pipeline.tick(packet.time_ns, sink);
        if let Some(recorded) = packet.comment.and_then(|comment| comment.parse().ok()) {
            if let Some(segment) = self.classifier.take_recorded(&packet, &recorded) {
                self.pipeline.segment(&segment, sink);
            }
            return;
        }
        let packet = self.tunnels.open(packet);
        let classified = self.classifier.classify(&packet);
        let Ok(Classified { inspected, segment, .. }) = &classified else { return };
        if inspected.toa.is_some() && self.clients.len() < MAX_EXAMPLES {
            let client = to_ip(inspected.toa.client.address);
            if !self.clients.contains(&client) {
                self.clients.push(client);
            }
        }
        if let Some(segment) = segment {
            self.pipeline.segment(segment, sink);
        }
    }

    /// Tells the pipeline that the input has been silent for as long as networks reorder packets. A stream that waited
    /// for its beginning then starts with what it has. Holes stay open until the time of the capture has passed them.
    pub fn idle(&mut self, sink: &mut impl Sink) {
        self.pipeline.tick(self.now_ns.saturating_add(self.patience_ns), sink);
    }

    /// Flushes everything that waits.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        self.pipeline.finish(sink);
    }

    /// Returns the counts of the packets that were followed.
    pub fn ledger(&self) -> &Ledger {
        self.pipeline.ledger()
    }

    /// Returns clients for whom something worth a remark was counted.
    pub fn examples(&self) -> &Examples {
        self.pipeline.examples()
    }

    /// Returns the counts of all packets.
    pub fn counters(&self) -> &Snapshot {
        self.classifier.counters()
    }

    /// Returns the first clients that a TOA named, watched or not.
    pub fn clients(&self) -> &[IpAddr] {
        &self.clients
    }

    /// Returns how many packets were read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the tunnels that packets were in.
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// Returns how many open connections were dropped because there were too many.
    pub fn evicted(&self) -> u64 {
        self.classifier.evicted()
    }

    /// Returns when the latest packet was captured, in nanoseconds since the Unix epoch.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests;
