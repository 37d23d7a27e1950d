//! A CPU that comes online after the tool is attached, and goes and comes again.

use std::{fs, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use toa_packets::builder::PacketBuilder;
use toa_tests::{
    process::Signal,
    tool::{toa_tc::ToaTc, usage::descriptors},
    wait,
};

use crate::cable::{cable, inject};

/// The CPU, and the file that takes it offline with `0` and online with `1`.
const CPU: usize = 1;
const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// What the tool says each time.
const COMES: &str = "toa-tc: CPU 1 came online: its packets are read\n";
const GOES: &str = "toa-tc: CPU 1 went offline\n";

/// How many times it comes online.
const ROUNDS: u16 = 3;

/// Packets of the CPU are read whenever it is online, which is said once each time, and no descriptors are left.
pub(crate) fn check() -> Result<()> {
    let (balancer, server) = cable()?;
    switch("0")?;
    let tool = ToaTc::attach(&server, &["--any"])?;
    let mut opened = Vec::new();
    for round in 1..=ROUNDS {
        let is_said = |line: &str| {
            wait::until(line, || {
                Ok((tool.stderr()?.matches(line).count() == usize::from(round)).then_some(()))
            })
            .with_context(|| tool.stderr().unwrap_or_default())
        };
        switch("1")?;
        is_said(COMES)?;
        let ask = |port, target: &str| -> Result<()> {
            inject(&balancer, &PacketBuilder::ipv4().source_port(port), target)?;
            wait::until("a request", || Ok(tool.stdout()?.contains(target).then_some(())))
        };
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                stay()?;
                ask(50_000 + round, &format!("/there{round}"))
            });
            there.join().map_err(|_| anyhow!("a thread panicked"))?
        })?;
        opened.push(descriptors(tool.id())?);
        switch("0")?;
        is_said(GOES)?;
        ask(51_000 + round, &format!("/here{round}"))?;
    }
    switch("1")?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!(ledger.packets("lost")? == 0, "{}", output.stderr);
    ensure!(output.requests()?.len() == 2 * usize::from(ROUNDS), "{}", output.stdout);
    ensure!(opened.first() == opened.last(), "descriptors: {opened:?}");
    Ok(())
}

fn switch(state: &str) -> Result<()> {
    fs::write(ONLINE, state).context(ONLINE)
}

/// Keeps this thread on the CPU. A packet arrives on the CPU that its sender runs on.
fn stay() -> Result<()> {
    let mut set = CpuSet::new();
    set.set(CPU);
    Ok(sched_setaffinity(None, &set)?)
}
