//! The kernel's program and user space, from one source: they find and decide the same in every packet.
#![cfg(feature = "kernel")]

use std::time::Instant;

use anyhow::{Result, ensure};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use toa_common::digest::digest;
use toa_tests::{
    fixtures::{flows, headers, random, vectors},
    host::{Host, Watch},
    packet_builder::PacketBuilder,
    probe::{self, Probe},
};

/// Random frames of each kind.
const CASES: usize = 20_000;

/// Checks that both take these packets, one after the other, for the same.
fn compare<'a>(
    probe: &mut Probe,
    watch: Watch,
    what: &str,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> Result<()> {
    probe.restart(watch)?;
    let mut host = Host::new(watch);
    for frame in frames {
        let taken = host.take(frame);
        let expected =
            digest(taken.as_ref().map(|(inspected, decision)| (inspected, *decision)).map_err(|it| *it));
        let found = probe.run(frame)?;
        ensure!(
            found == expected,
            "{what}: {found:#x} in the kernel, {expected:#x} here: {taken:?}: {frame:x?}"
        );
    }
    Ok(())
}

#[test]
fn the_kernel_reads_every_vector_like_the_host() -> Result<()> {
    let mut probe = Probe::load()?;
    for vector in vectors::all()? {
        for packet in [PacketBuilder::ipv4(), PacketBuilder::ipv6(), PacketBuilder::ipv4().payload(b"GET /")]
        {
            let frame = packet.options(&vector.options).build();
            for watch in [Watch::Nobody, Watch::Any] {
                compare(&mut probe, watch, &vector.id, [frame.as_slice()])?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_kernel_reads_unusual_headers_like_the_host() -> Result<()> {
    let mut probe = Probe::load()?;
    for header in headers::all() {
        compare(&mut probe, Watch::Any, header.id, [header.frame.as_slice()])?;
    }
    Ok(())
}

#[test]
fn the_kernel_follows_every_flow_like_the_host() -> Result<()> {
    let mut probe = Probe::load()?;
    for flow in flows::all() {
        let watch = flow.watched.map_or(Watch::Any, Watch::Address);
        compare(&mut probe, watch, flow.id, flow.steps.iter().map(|step| step.frame.as_slice()))?;
    }
    Ok(())
}

#[test]
fn the_kernel_reads_random_frames_like_the_host() -> Result<()> {
    let mut probe = Probe::load()?;
    let mut runner = TestRunner::new(Config::default());
    let start = Instant::now();
    for strategy in [random::frame().boxed(), random::damaged_frame().boxed()] {
        let mut frames = Vec::new();
        while frames.len() < CASES {
            let tree = strategy.new_tree(&mut runner).map_err(|reason| anyhow::anyhow!("{reason}"))?;
            frames.extend(Some(tree.current()).filter(|frame| probe::takes(frame)));
        }
        // Watching everybody, one random frame after the other is a connection of its own kind, too.
        for watch in [Watch::Nobody, Watch::Any] {
            compare(&mut probe, watch, "random", frames.iter().map(Vec::as_slice))?;
        }
    }
    println!("{} frames in {:?}", CASES * 4, start.elapsed());
    Ok(())
}
