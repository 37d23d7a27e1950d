//! Captures, pcap and pcapng. Reading any file ends, and everything in it is accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toa_common::config::Config;
use toa_userspace::{
    capture::{Next, Reader, classifier::Selection, replay::Replay},
    event::Event,
    limits::Limits,
    pipeline::{Sink, connection::Connection},
    print::{hidden::Hidden, ledger::Summary},
};

/// A sink that discards everything.
struct Nothing;

impl Sink for Nothing {
    fn event(&mut self, _: &Connection, _: &Event<'_>) {}
}

fuzz_target!(|file: &[u8]| {
    let selection = Selection {
        config: Config::DEFAULT.following_any(),
        rules: Vec::new(),
        balancers: Vec::new(),
        max_flows: 4,
    };
    let mut replay = Replay::new(selection, Limits::default());
    let (mut reader, mut input) = (Reader::default(), file);
    loop {
        match reader.next_packet() {
            Ok(Next::Packet(packet)) => {
                replay.packet(packet, &mut Nothing);
                continue;
            }
            Ok(Next::NeedMore) => {}
            Err(_) => break,
        }
        if !reader.fill(&mut input).is_ok_and(|bytes| bytes > 0) {
            break;
        }
    }
    replay.finish(&mut Nothing);
    let summary = Summary {
        counters: replay.counters(),
        pipeline: replay.ledger(),
        examples: replay.examples(),
        evicted: 0,
        after_gro: false,
        hidden: Hidden::default(),
        is_unwritten: false,
    }
    .to_string();
    assert!(!summary.contains("do not add up"), "{summary}");
});
