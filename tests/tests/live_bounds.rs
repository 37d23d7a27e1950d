//! Under floods of each kind against a running attach, memory stays within its bound and nothing else is
//! lost.
#![cfg(feature = "kernel")]

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result};
use toa_packets::{
    builder::{PacketBuilder, flags},
    toa_option::toa_option,
};
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::ToaTc,
    wait::{self, PATIENCE},
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
/// Rings that are large enough for a flood. Another test covers full rings.
const RING: &str = "67108864";
/// Connections that are open concurrently.
const OPEN: u32 = 50_000;
/// Maximum resident memory of the tool without its rings, in KiB.
const MOST_KIB: u64 = 64 << 10;

/// A connection of injected packets without a socket.
struct Spoofed {
    source: SocketAddr,
    seq: u32,
}

impl Spoofed {
    fn new(number: u32) -> Result<Self> {
        let [_, a, b, c] = (number / 50_000).to_be_bytes();
        let port = u16::try_from(10_000 + number % 50_000)?;
        Ok(Self { source: ([10, 8 + a, b, c], port).into(), seq: number.wrapping_mul(0x9e37_79b9) })
    }

    fn packet(&self, flags: u8) -> PacketBuilder {
        PacketBuilder::new(self.source, toa_tests::lab::nginx_address()).flags(flags).numbers(self.seq, 1)
    }

    fn open(&mut self, injector: &Injector) -> Result<()> {
        let syn = self.packet(flags::SYN).options(&toa_option(CLIENT.into()));
        self.seq = self.seq.wrapping_add(1);
        injector.send(&syn.build())
    }

    fn send(&mut self, injector: &Injector, bytes: &[u8]) -> Result<()> {
        let packet = self.packet(flags::ACK).payload(bytes);
        self.seq = self.seq.wrapping_add(u32::try_from(bytes.len())?);
        injector.send(&packet.build())
    }
}

/// Returns the resident memory of a process in KiB, without the rings that it shares with the kernel.
fn resident_kib(process: u32) -> Result<u64> {
    let mut resident = 0;
    let mut is_ring = false;
    for line in fs::read_to_string(format!("/proc/{process}/smaps"))?.lines() {
        match line.split_once(':') {
            Some(("Rss", size)) if !is_ring => {
                resident += size.trim().trim_end_matches(" kB").parse::<u64>()?;
            }
            // A mapping begins with its address range, which has no colon before the first space.
            _ if line.split(' ').next().is_some_and(|word| word.contains('-')) => {
                is_ring = line.contains("[perf_event]");
            }
            _ => {}
        }
    }
    Ok(resident)
}

/// Waits until the request for `target` is printed.
fn printed(tool: &ToaTc, target: &str) -> Result<()> {
    let line = format!(" GET {target} HTTP/1.1\n");
    wait::within(3 * PATIENCE, target, || Ok(tool.stdout()?.contains(&line).then_some(())))
}

#[test]
fn fifty_thousand_open_connections_stay_within_64_mib() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let injector = Injector::new(&lab.balancer)?;
    let mut tool = ToaTc::attach(&lab.server, &["--any", "--ring-size", RING])?;
    let process = tool.process().child().id();
    let before = resident_kib(process)?;
    for number in 0..OPEN {
        let mut connection = Spoofed::new(number)?;
        connection.open(&injector)?;
        connection.send(&injector, format!("GET /{number} HTTP/1.1\r\nhost: lab\r\n\r\n").as_bytes())?;
    }
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/behind"))?;
    printed(&tool, "/behind")?;
    let with_all = resident_kib(process)?;
    println!("{before} KiB, with {OPEN} open connections {with_all} KiB");
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{}", output.stderr);
    assert_eq!(output.requests()?.len(), usize::try_from(OPEN)? + 1);
    assert!(with_all <= MOST_KIB, "{with_all} KiB");
    Ok(())
}

#[test]
fn floods_of_each_kind_hide_nobody() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let injector = Injector::new(&lab.balancer)?;
    let mut tool = ToaTc::attach(&lab.server, &["--any", "--ring-size", RING])?;
    let process = tool.process().child().id();
    let mut client = lab.connect(Some(CLIENT.into()))?;
    client.ask(Request::get("/before"))?;
    // 100,000 connections that consist of a SYN, more than are followed at a time.
    for number in 0..100_000 {
        Spoofed::new(number)?.open(&injector)?;
    }
    let [mut head, mut chunk, mut bytes] =
        [Spoofed::new(100_000)?, Spoofed::new(100_001)?, Spoofed::new(100_002)?];
    for connection in [&mut head, &mut chunk, &mut bytes] {
        connection.open(&injector)?;
    }
    head.send(&injector, b"GET /head HTTP/1.1\r\nx: ")?;
    chunk.send(&injector, b"POST /chunk HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;")?;
    let piece = [b'a'; 1400];
    for _ in 0..1000 {
        head.send(&injector, &piece)?;
        chunk.send(&injector, &piece)?;
    }
    // Every other byte of a head, so that each one follows its own hole.
    for byte in b"GET /bytes HTTP/1.1\r\n".iter().cycle().take(10_000) {
        bytes.seq = bytes.seq.wrapping_add(1);
        bytes.send(&injector, &[*byte])?;
    }
    let mut behind = lab.connect(Some(CLIENT.into()))?;
    behind.ask(Request::get("/behind"))?;
    printed(&tool, "/behind")?;
    let resident = resident_kib(process)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded().context("after the floods")?;
    let ledger = output.ledger()?;
    ledger.check()?;
    println!("{resident} KiB: {}", output.stderr);
    assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{}", output.stderr);
    let targets: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
    assert_eq!(targets.iter().filter(|target| *target == "/before" || *target == "/behind").count(), 2);
    assert!(resident <= MOST_KIB, "{resident} KiB");
    Ok(())
}
