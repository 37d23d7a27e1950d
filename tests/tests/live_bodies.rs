//! What the kernel program leaves out of bodies that it reads, packet by packet: never what user space could not check.
#![cfg(feature = "kernel")]

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use rustix::thread::{CpuSet, sched_setaffinity};
use toa_common::{body::states, counters::Counter, record::SegmentRecord};
use toa_packets::{
    builder::{PacketBuilder, flags},
    toa_option::toa_option,
};
use toa_tests::differential::probe::Probe;
use toa_userspace::{live::rings::Rings, rule::Rule};

const RING_BYTES: usize = 1 << 20;

/// A probe that follows every client, and the ring of the CPU on which it runs.
struct Bench {
    probe: Probe,
    rings: Rings,
    /// The balancer's port of the connection.
    port: u16,
}

impl Bench {
    fn new() -> Result<Self> {
        let cpu = aya::util::online_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
        let cpu = *cpu.first().context("no CPU")?;
        let mut set = CpuSet::new();
        set.set(usize::try_from(cpu)?);
        sched_setaffinity(None, &set)?;
        let mut probe = Probe::load()?;
        probe.restart(&[Rule::Any])?;
        let Map::PerfEventArray(map) = probe.map("EVENTS")? else { bail!("EVENTS is no perf event array") };
        let rings = Rings::open_on(map.fd().as_fd(), RING_BYTES, [cpu])?;
        Ok(Self { probe, rings, port: 1000 })
    }

    /// Sends a packet that is not merged from several segments. Returns its record, if it left one, without the bytes of the
    /// frame.
    fn send(&mut self, seq: u32, payload: &[u8]) -> Result<Option<SegmentRecord>> {
        let packet = PacketBuilder::ipv4().source_port(self.port).numbers(seq, 1);
        let option = toa_option(([203, 0, 113, 9], 54321).into());
        self.probe.run(&packet.flags(flags::PSH | flags::ACK).options(&option).payload(payload).build())?;
        let mut records = Vec::new();
        self.rings.drain(|sample| records.extend(SegmentRecord::decode(sample).map(|(record, _)| record)));
        assert!(records.len() <= 1, "{records:?}");
        Ok(records.pop())
    }
}

/// Returns a record of a packet that was copied whole.
fn whole(record: Option<SegmentRecord>) -> Result<SegmentRecord> {
    let record = record.context("no record")?;
    assert_eq!(record.captured_len, record.frame_len, "{record:?}");
    Ok(record)
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: a\r\n";

#[test]
fn a_single_segment_is_copied_whole_and_what_follows_of_its_body_is_not() -> Result<()> {
    let mut bench = Bench::new()?;
    let first = format!("{HEAD}content-length: 50000\r\n\r\n{}", "x".repeat(900));
    let len = u32::try_from(first.len())?;
    let record = whole(bench.send(1, first.as_bytes())?)?;
    assert_eq!((record.body_state, record.body_seq), (states::LENGTH, 1 + len - 900 + 50_000));
    assert_eq!(bench.send(1 + len, &[b'x'; 1000])?, None);
    assert_eq!(bench.probe.count(Counter::BypassedBytes)?, 1000);
    // A server may have discarded the first one, and takes what comes in its place.
    whole(bench.send(1, first.replace("POST / ", "POST /b").as_bytes())?)?;
    Ok(())
}

#[test]
fn sizes_of_chunks_in_a_single_segment_are_not_believed() -> Result<()> {
    let mut bench = Bench::new()?;
    for beginning in ["", "fffffff\r\nx", "400\r\n"] {
        bench.port += 1;
        let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{beginning}");
        whole(bench.send(1, head.as_bytes())?)?;
        let mut seq = 1 + u32::try_from(head.len())?;
        for next in [&b"fffffff\r\nx"[..], b"0\r\n\r\n", b"GET /next HTTP/1.1\r\n\r\n"] {
            whole(bench.send(seq, next)?)?;
            seq += u32::try_from(next.len())?;
        }
    }
    assert_eq!(bench.probe.count(Counter::BypassedBytes)?, 0);
    Ok(())
}
