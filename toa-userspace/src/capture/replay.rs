//! Responsible for a capture's way from bytes to printed requests: reader, classifier and pipeline, one after the other.
//! Not responsible for where the bytes come from, nor for waiting for them.
//!
//! ```text
//! loop { while replay.step(sink)? {}
//!        if replay.fill(input)? == 0 { break } }
//! replay.finish(sink)
//! ```

use std::io::{self, Read};

use crate::{
    capture::{
        CaptureError, Names, Next, Reader,
        classifier::{Classified, Classifier, Selection},
    },
    ledger::{Ledger, add, counters::Snapshot},
    limits::Limits,
    pipeline::{Pipeline, Sink},
};

/// Reads a capture.
#[derive(Debug)]
pub struct Replay {
    reader: Reader,
    classifier: Classifier,
    pipeline: Pipeline,
    /// Packets that were read.
    packets: u64,
    /// When the latest packet came.
    now_ns: u64,
    /// How long something may still come that belongs before it.
    patience_ns: u64,
}

impl Replay {
    /// Has read nothing yet.
    pub fn new(selection: Selection, limits: Limits) -> Self {
        Self {
            reader: Reader::default(),
            classifier: Classifier::new(selection),
            patience_ns: limits.start_ns,
            pipeline: Pipeline::new(limits),
            packets: 0,
            now_ns: 0,
        }
    }

    /// The names of the capture's interfaces, of which more may become known.
    pub fn names(&self) -> Names {
        self.reader.names()
    }

    /// Reads from `input`, once. Returns how many bytes came: at the end, none.
    pub fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.reader.fill(input)
    }

    /// Takes a packet out of what was read. Returns whether there was one.
    pub fn step(&mut self, sink: &mut impl Sink) -> Result<bool, CaptureError> {
        let Next::Packet(mut packet) = self.reader.next_packet()? else {
            return Ok(false);
        };
        if packet.time_ns == 0 {
            packet.time_ns = self.now_ns;
        }
        self.now_ns = packet.time_ns;
        add(&mut self.packets, 1);
        // What is older was handed in: captures are in the order of time, or nearly.
        self.pipeline.tick(packet.time_ns, sink);
        if let Ok(Classified { segment: Some(segment), .. }) = self.classifier.classify(&packet) {
            self.pipeline.segment(&segment, sink);
        }
        Ok(true)
    }

    /// Says that nothing has come for as long as networks reorder packets: a stream whose beginning was waited for
    /// begins with what there is. Holes stay open until the capture's own time has passed them.
    pub fn idle(&mut self, sink: &mut impl Sink) {
        self.pipeline.tick(self.now_ns.saturating_add(self.patience_ns), sink);
    }

    /// Hands on everything that waits.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        self.pipeline.finish(sink);
    }

    /// Says whether the capture may end here.
    pub fn end(&self) -> Result<(), CaptureError> {
        self.reader.end()
    }

    /// What became of the packets that were followed.
    pub fn ledger(&self) -> &Ledger {
        self.pipeline.ledger()
    }

    /// What became of all packets.
    pub fn counters(&self) -> &Snapshot {
        self.classifier.counters()
    }

    /// How many packets were read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// How many connections were forgotten because there were too many.
    pub fn evicted(&self) -> u64 {
        self.classifier.evicted()
    }

    /// When the latest packet was captured, in nanoseconds since the Unix epoch.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

#[cfg(test)]
mod tests;
