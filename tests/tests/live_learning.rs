//! Connections that are learned on two CPUs at the same time, and among floods of SYNs.
#![cfg(feature = "kernel")]

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use toa_packets::{
    builder::{PacketBuilder, flags},
    toa_option::toa_option,
};
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit, nginx_address},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::ToaTc,
    wait::{self, PATIENCE},
};

/// Connections that two CPUs learn at the same time.
const CONNECTIONS: u16 = 3_000;
/// SYNs of a flood.
const SYNS: u32 = 200_000;
/// Rings that are large enough for all packets.
const RING: &str = "67108864";
/// The first bytes of a request that one packet has. The next one has the others.
const HALF: u32 = 12;

fn peer(port: u16) -> SocketAddr {
    ([10, 9, 0, 77], port).into()
}

fn packet(port: u16, flags: u8, seq: u32) -> PacketBuilder {
    PacketBuilder::new(peer(port), nginx_address()).flags(flags).numbers(seq, 1)
}

/// Lets two threads on different CPUs send the frames of their lists, those with the same index at the same time.
fn send_on_two_cpus(lab: &Lab, lists: &[Vec<Vec<u8>>; 2]) -> Result<()> {
    let sent = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let send_from = |cpu: usize, frames: &[Vec<u8>]| -> Result<()> {
        let [own, other] = if cpu == 0 { [&sent[0], &sent[1]] } else { [&sent[1], &sent[0]] };
        let send_all = || -> Result<()> {
            let mut cpus = CpuSet::new();
            cpus.set(cpu);
            sched_setaffinity(None, &cpus).with_context(|| format!("moving to CPU {cpu}"))?;
            let injector = Injector::new(&lab.balancer)?;
            for (index, frame) in frames.iter().enumerate() {
                own.store(index + 1, Ordering::SeqCst);
                while other.load(Ordering::SeqCst) <= index {
                    std::hint::spin_loop();
                }
                injector.send(frame)?;
            }
            Ok(())
        };
        let result = send_all();
        // The other one must not wait for this one if it has failed.
        own.store(usize::MAX, Ordering::SeqCst);
        result
    };
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..).zip(lists).map(|(cpu, frames)| scope.spawn(move || send_from(cpu, frames))).collect();
        for sender in senders {
            sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        Ok(())
    })
}

/// Returns the two packets of a connection that are sent at the same time, and its SYN if that names the client.
fn beginning(number: u16) -> (Option<Vec<u8>>, [Vec<u8>; 2]) {
    let port = 1024 + number;
    let toa = toa_option(([203, 0, 113, 9], port).into());
    let request = format!("GET /{number} HTTP/1.1\r\nHost: lab\r\n\r\n");
    let (first, second) = request.as_bytes().split_at(HALF as usize);
    let data = |offset: u32, payload| packet(port, flags::ACK, 1000 + offset).payload(payload);
    match number % 3 {
        // The balancer marks the first data.
        0 => (None, [data(0, first).options(&toa).build(), data(HALF, second).options(&toa).build()]),
        // It marks early packets.
        1 => {
            let ack = packet(port, flags::ACK, 1000).options(&toa);
            (None, [ack.build(), data(0, request.as_bytes()).options(&toa).build()])
        }
        // It marks the SYN.
        _ => {
            let syn = packet(port, flags::SYN, 999).options(&toa);
            (Some(syn.build()), [data(0, first).build(), data(HALF, second).build()])
        }
    }
}

#[test]
fn two_cpus_that_learn_a_connection_at_once_learn_it_once() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--ring-size", RING])?;
    let injector = Injector::new(&lab.balancer)?;
    let mut lists = [Vec::new(), Vec::new()];
    for number in 0..CONNECTIONS {
        let (syn, [one, other]) = beginning(number);
        if let Some(syn) = syn {
            injector.send(&syn)?;
        }
        lists[0].push(one);
        lists[1].push(other);
    }
    send_on_two_cpus(&lab, &lists)?;
    // What is not there by now may still wait for its other half, so the run's end shows it.
    let requests = |output: &str| output.matches(r#""event":"request""#).count();
    let all = usize::from(CONNECTIONS);
    let complete =
        wait::within(PATIENCE, "all requests", || Ok((requests(&tool.stdout()?) >= all).then_some(())));
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    println!("{}", output.stderr);
    let ledger: Value = serde_json::from_str(output.stdout.lines().last().context("no output")?)?;
    let count = |name: &str| ledger.get(name).and_then(Value::as_u64).context("no count");
    let found = (count("requests")?, count("incomplete")?, count("connections")?);
    assert_eq!(found, (CONNECTIONS.into(), 0, CONNECTIONS.into()), "{ledger}");
    let remarks = ledger.get("remarks").and_then(Value::as_object).context("no remarks")?;
    let is_said = |remark: &Value| remark.get("count").and_then(Value::as_u64) != Some(0);
    let said: Vec<_> = remarks.iter().filter(|(_, remark)| is_said(remark)).collect();
    ensure!(said.is_empty(), "false alarms: {said:?}");
    ensure!(!output.stderr.contains("--max-flows"), "a false alarm: {}", output.stderr);
    complete
}

/// Floods a run with SYNs that name its client, beside an established connection of that client.
fn flood(max_flows: &[&str]) -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &[&["--ip", "203.0.113.9"], max_flows].concat())?;
    let client = SocketAddr::from(([203, 0, 113, 9], 54321));
    let mut connection = lab.connect(Some(client))?;
    connection.ask(Request::get("/before"))?;
    let injector = Injector::new(&lab.balancer)?;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..SYNS {
        let source = SocketAddr::from(([10, 8, random.u8(..), random.u8(..)], random.u16(1024..)));
        let syn = PacketBuilder::new(source, nginx_address()).flags(flags::SYN).numbers(random.u32(..), 0);
        // The server need not answer them.
        injector.send(&syn.options(&toa_option(client)).wrong_checksum().build())?;
    }
    connection.ask(Request::get("/after"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let targets: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/before", "/after"], "{max_flows:?}: {}", output.stderr);
    ensure!(!output.stderr.contains("evicted"), "{max_flows:?}: {}", output.stderr);
    Ok(())
}

#[test]
fn a_flood_of_syns_evicts_no_followed_connection() -> Result<()> {
    flood(&[])?;
    flood(&["--max-flows", "64"])
}
