//! What is lost is said while it is being lost, in text and in JSON, and afterwards the run goes on as before.
#![cfg(feature = "kernel")]

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{
        client::Request,
        wrk::{self, Load, PROBES, Requests},
    },
    process::Signal,
    tool::{toa_tc::ToaTc, usage::resident_kib},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const CONNECTIONS: u32 = 20;
/// Longer than the interval of the line.
const DURATION: Duration = Duration::from_secs(16);
/// How long the reader stands still.
const STOP: Duration = Duration::from_secs(3);
/// What memory may grow by from the first line on: what waits on the connections, which is bounded for each.
const GROWTH_KIB: u64 = 16 << 10;

#[test]
fn overload_is_said_while_it_lasts_and_everything_afterwards_is_printed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let load = toa_option(SocketAddr::from(([203, 0, 113, 1], 1)));
    let count = usize::try_from(PROBES + CONNECTIONS)?;
    lab.marker.assign_next(std::iter::repeat_n(load.as_slice(), count))?;
    let mut tool = ToaTc::attach(&lab.server, &["--any", "--ring-size", "4096", "-o", "json"])?;
    let line = " lost in 10 s: the rings were full (a larger --ring-size, or a faster reader of the output)";
    let before = thread::scope(|scope| -> Result<u64> {
        let load = Load { connections: CONNECTIONS, duration: DURATION, requests: Requests::Small };
        let balancer = &lab.balancer.namespace;
        let load = scope.spawn(move || wrk::run(balancer, nginx_address(), load));
        wait::until("the first requests", || Ok(tool.stdout()?.contains("\"request\"").then_some(())))?;
        tool.process().signal(Signal::Stop)?;
        // The length of the stop is what is tested.
        thread::sleep(STOP);
        tool.process().signal(Signal::Continue)?;
        wait::until("the line", || Ok(tool.stderr()?.contains(line).then_some(())))
            .with_context(|| tool.stderr().unwrap_or_default())?;
        let before = resident_kib(tool.id())?;
        load.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok(before)
    })?;
    let after = resident_kib(tool.id())?;
    // The rings are empty again. If the kernel does not write to one of them, it is replaced.
    let allowed = sched_getaffinity(None)?;
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
        // A packet arrives on the CPU that its sender runs on.
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set)?;
        let target = format!("/again/{cpu}");
        wait::until("the ring to work again", || {
            lab.connect(Some(CLIENT.into()))?.ask(Request::get(&target))?;
            Ok(tool.stdout()?.contains(&target).then_some(()))
        })?;
    }
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    for number in 0..3 {
        connection.ask(Request::get(&format!("/after/{number}")))?;
    }
    wait::until("what comes afterwards", || Ok(tool.stdout()?.contains("/after/2").then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!(ledger.packets("lost")? > 0, "{}", output.stderr);
    ensure!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
    let lines = output.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let losses: Vec<_> = lines.iter().filter(|line| line["event"] == "loss").collect();
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let schema = jsonschema::options().should_validate_formats(true).build(&schema)?;
    for loss in &losses {
        schema.validate(loss).map_err(|error| anyhow::anyhow!("{error}: {loss}"))?;
    }
    // Each line on stderr is an object, too, also under load.
    let messages = output.raw_stderr.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    for message in &messages {
        schema.validate(message).map_err(|error| anyhow::anyhow!("{error}: {message}"))?;
    }
    let of_loss = |message: &&Value| message["loss"]["reason"] == "ring_full";
    let of_loss = messages.iter().find(of_loss).context("no message of the loss")?;
    assert_eq!((&of_loss["event"], &of_loss["level"]), (&json!("message"), &json!("warning")));
    let attached = messages.iter().find(|message| message["interface"]["name"] == lab.server.name.as_str());
    assert_eq!(attached.context("no interface")?["level"], "info");
    let lost = losses.iter().filter(|line| line["loss"]["reason"] == "ring_full");
    let lost: u64 = lost.filter_map(|line| line["loss"]["count"].as_u64()).sum();
    assert!((1..=ledger.packets("lost")?).contains(&lost), "{losses:?}");
    let printed = |target: String| {
        let of_target = lines.iter().filter(|line| line["url"]["original"] == target.as_str());
        of_target.filter(|line| line["incomplete"].is_null()).count()
    };
    let afterwards: Vec<_> = (0..3).map(|number| printed(format!("/after/{number}"))).collect();
    assert_eq!(afterwards, [1, 1, 1]);
    Ok(())
}
