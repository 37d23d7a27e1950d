//! Reader, classifier and pipeline, combined to turn the bytes of a capture into requests.
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

/// Replays a capture.
#[derive(Debug)]
pub struct Replay {
    reader: Reader,
    classifier: Classifier,
    pipeline: Pipeline,
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
        Self {
            reader: Reader::default(),
            classifier: Classifier::new(selection),
            patience_ns: limits.start_ns,
            pipeline: Pipeline::new(limits),
            packets: 0,
            now_ns: 0,
        }
    }

    /// Returns the names of the interfaces. More may be added as the capture is read.
    pub fn names(&self) -> Names {
        self.reader.names()
    }

    /// Reads from `input` once. Returns how many bytes were read, 0 at the end of the input.
    pub fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.reader.fill(input)
    }

    /// Processes one packet of what was read. Returns whether there was one.
    pub fn step(&mut self, sink: &mut impl Sink) -> Result<bool, CaptureError> {
        let Next::Packet(mut packet) = self.reader.next_packet()? else {
            return Ok(false);
        };
        if packet.time_ns == 0 {
            packet.time_ns = self.now_ns;
        }
        self.now_ns = packet.time_ns;
        add(&mut self.packets, 1);
        // Everything older was handed in, because captures are in order of time, or nearly so.
        self.pipeline.tick(packet.time_ns, sink);
        if let Ok(Classified { segment: Some(segment), .. }) = self.classifier.classify(&packet) {
            self.pipeline.segment(&segment, sink);
        }
        Ok(true)
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

    /// Checks that the capture may end here.
    pub fn end(&self) -> Result<(), CaptureError> {
        self.reader.end()
    }

    /// Returns the counts of the packets that were followed.
    pub fn ledger(&self) -> &Ledger {
        self.pipeline.ledger()
    }

    /// Returns the counts of all packets.
    pub fn counters(&self) -> &Snapshot {
        self.classifier.counters()
    }

    /// Returns how many packets were read.
    pub fn packets(&self) -> u64 {
        self.packets
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
