//! The reader of the perf rings against the kernel that writes them: every loss is noticed.
#![cfg(feature = "kernel")]

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::Map;
use rustix::thread::{CpuSet, sched_setaffinity};
use toa_common::{
    counters::Counter,
    limits::MAX_SAMPLE_BYTES,
    record::{MAX_CAPTURED_BYTES, SegmentRecord},
};
use toa_packets::{
    builder::{PacketBuilder, flags},
    toa_option::toa_option,
};
use toa_tests::{
    differential::probe::Probe,
    lab::{Lab, marker::Habit},
    peers::client::Request,
    tool::recorder::Recorder,
};
use toa_userspace::{
    live::rings::{DrainStats, Rings},
    rule::Rule,
};

/// The size of the smallest ring.
const RING_BYTES: usize = 4096;

/// Pins this thread to one CPU, because a test run writes to the ring of the CPU that it runs on.
fn stay_on(cpu: u32) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(usize::try_from(cpu)?);
    Ok(sched_setaffinity(None, &set)?)
}

fn cpus() -> Result<Vec<u32>> {
    aya::util::online_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))
}

/// Opens the probe's rings on these CPUs.
fn rings(probe: &Probe, bytes: usize, cpus: &[u32]) -> Result<Rings> {
    let Map::PerfEventArray(map) = probe.map("EVENTS")? else { bail!("EVENTS is no perf event array") };
    Ok(Rings::open_on(map.fd().as_fd(), bytes, cpus.iter().copied())?)
}

fn following_probe() -> Result<Probe> {
    let mut probe = Probe::load()?;
    probe.restart(&[Rule::Any])?;
    Ok(probe)
}

/// Sends `count` packets with payload, numbered from `first`.
fn send(probe: &mut Probe, first: u32, count: u32) -> Result<()> {
    for seq in first..first + count {
        let packet = PacketBuilder::ipv4().numbers(seq, 1).flags(flags::PSH | flags::ACK);
        let option = toa_option(([203, 0, 113, 9], 54321).into());
        probe.run(&packet.options(&option).payload(&[b'x'; 100]).build())?;
    }
    Ok(())
}

/// Returns the sequence numbers of the packets in the rings.
fn drain(rings: &mut Rings) -> Result<(Vec<u32>, DrainStats)> {
    let mut numbers = Vec::new();
    let mut failed = None;
    let drained = rings.drain(|sample| match number(sample) {
        Ok(number) => numbers.push(number),
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok((numbers, drained)), Err)
}

fn number(sample: &[u8]) -> Result<u32> {
    let (record, frame) = SegmentRecord::decode(sample).context("no record")?;
    ensure!(record.payload_len == 100 && record.captured_len == record.frame_len, "{record:?}");
    let seq = frame.get(usize::from(record.transport_offset) + 4..).and_then(|rest| rest.first_chunk());
    seq.copied().map(u32::from_be_bytes).context("no sequence number")
}

#[test]
fn a_ring_wraps_and_nothing_is_lost() -> Result<()> {
    let cpu = *cpus()?.first().context("no CPU")?;
    stay_on(cpu)?;
    let mut probe = following_probe()?;
    let mut rings = rings(&probe, RING_BYTES, &[cpu])?;
    for round in 0..400 {
        send(&mut probe, round * 7, 7)?;
        let (numbers, drained) = drain(&mut rings)?;
        assert_eq!(numbers, (round * 7..round * 7 + 7).collect::<Vec<_>>());
        assert_eq!(drained, DrainStats { samples: 7, ..DrainStats::default() });
    }
    assert_eq!(probe.count(Counter::Matched)?, 2800);
    assert_eq!(probe.count(Counter::Emitted)?, 2800);
    Ok(())
}

#[test]
fn a_full_ring_loses_what_is_counted() -> Result<()> {
    let cpu = *cpus()?.first().context("no CPU")?;
    stay_on(cpu)?;
    let mut probe = following_probe()?;
    let mut rings = rings(&probe, RING_BYTES, &[cpu])?;
    send(&mut probe, 0, 100)?;
    let (numbers, drained) = drain(&mut rings)?;
    let kept = u32::try_from(numbers.len())?;
    assert!(kept > 0 && kept < 100, "{kept}");
    assert_eq!(numbers, (0..kept).collect::<Vec<_>>());
    assert_eq!(drained.corrupt, 0);
    assert_eq!(probe.count(Counter::Emitted)?, u64::from(kept));
    assert_eq!(probe.count(Counter::LostRingFull)?, u64::from(100 - kept));
    assert_eq!(probe.count(Counter::LostRingFullBytes)?, u64::from(100 - kept) * 100);
    // Once there is room again, nothing is lost.
    send(&mut probe, 100, 1)?;
    assert_eq!(drain(&mut rings)?.0, [100]);
    assert_eq!(probe.count(Counter::Matched)?, 101);
    Ok(())
}

#[test]
fn a_cpu_without_a_reader_loses_what_is_counted() -> Result<()> {
    let cpus = cpus()?;
    let (unread, read) = cpus.split_first().context("no CPU")?;
    let mut probe = following_probe()?;
    let mut rings = rings(&probe, RING_BYTES, read)?;
    stay_on(*unread)?;
    send(&mut probe, 0, 10)?;
    assert_eq!(probe.count(Counter::LostNoReader)?, 10);
    assert_eq!(probe.count(Counter::LostNoReaderBytes)?, 1000);
    if let Some(cpu) = read.first() {
        stay_on(*cpu)?;
        send(&mut probe, 10, 5)?;
        assert_eq!(drain(&mut rings)?.0, [10, 11, 12, 13, 14]);
    }
    assert_eq!(probe.count(Counter::LostNoReader)?, 10);
    Ok(())
}

#[test]
fn a_record_of_the_largest_size_is_read() -> Result<()> {
    let mut lab = Lab::with_mtu(Habit::SynAndEarly, 65_535)?;
    lab.server.acknowledge_at_once("10.9.0.0/24")?;
    let _nginx = lab.nginx()?;
    let mut recorder = Recorder::attach(&lab.server)?;

    let mut connection = lab.connect(Some(([203, 0, 113, 9], 54321).into()))?;
    // With a head that is too long for the kernel to read, so that it does not leave the body out.
    let request = Request::post("/", 10 << 20).field("x-long", &"x".repeat(2000));
    // Whether TCP sends a segment of the full size depends on its windows.
    let mut largest = None;
    for _ in 0..50 {
        connection.ask(request.clone())?;
        let records = recorder.records(1)?;
        largest = records.into_iter().find(|(record, _)| record.captured_len < record.frame_len);
        if largest.is_some() {
            break;
        }
    }
    let (record, frame) = largest.context("no segment of the full size")?;
    assert_eq!((SegmentRecord::LEN + frame.len(), frame.len()), (MAX_SAMPLE_BYTES, MAX_CAPTURED_BYTES));
    assert_eq!(usize::try_from(record.captured_len)?, MAX_CAPTURED_BYTES);
    Ok(())
}
