//! Times are right in a time namespace, in which the monotonic clock differs from the kernel program's, and without a time
//! zone.
#![cfg(feature = "kernel")]

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::{self, Start, ToaTc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Returns the time since boot in seconds.
fn uptime() -> Result<u64> {
    let text = fs::read_to_string("/proc/uptime")?;
    Ok(text.split('.').next().context("no time")?.parse()?)
}

fn now() -> Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())
}

/// Returns when an object was written, in nanoseconds since the Unix epoch.
fn time(object: &Value) -> Result<u128> {
    let text = object.get("timestamp").and_then(Value::as_str).context("no timestamp")?;
    // GNU date reads RFC 3339 with nanoseconds.
    let output = std::process::Command::new("date").args(["-u", "+%s%N", "-d", text]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Checks a run whose monotonic clock is ahead of the kernel program's by some seconds.
fn check(seconds: &str) -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let wrapper = ["unshare", "--time", "--monotonic", seconds];
        let mut lab = Lab::new(Habit::FirstData)?;
        let _nginx = lab.nginx()?;
        let start = Start { wrapper: &wrapper, ..Start::default() };
        let tool = ToaTc::attach_as(&lab.server, &["--any", "-o", "json"], start)?;
        let namespaces = ["self", &tool.id().to_string()]
            .map(|process| fs::read_link(format!("/proc/{process}/ns/time")).unwrap_or_default());
        ensure!(namespaces[0] != namespaces[1], "the tool is in our time namespace");

        let begin = now()?;
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        let printed = |target: &str| {
            wait::until("the request to be printed", || {
                let stdout = tool.stdout()?;
                Ok(stdout.contains(&format!("\"original\":\"{target}\"")).then_some(()))
            })
        };
        // The stream has no SYN, so that its start has a deadline.
        for target in ["/1", "/2"] {
            connection.ask(Request::get(target))?;
            printed(target)?;
        }
        let flows = ToaTc::run_through(
            &lab.server.namespace,
            &wrapper,
            &toa_tc::binary()?,
            &["flows", "-o", "json"],
        )?;
        let flows: Value = serde_json::from_str(&flows.succeeded()?.stdout)?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let end = now()?;

        let objects: Vec<Value> =
            output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        for object in &objects {
            let time = time(object)?;
            ensure!((begin..=end).contains(&time), "{time} is not from {begin} to {end}: {object}");
        }
        let events: Vec<_> =
            objects.iter().filter_map(|object| object.get("event").and_then(Value::as_str)).collect();
        assert_eq!(events, ["connection", "request", "request", "connection", "ledger"]);
        let age = flows.get("age_ns").and_then(Value::as_u64).with_context(|| format!("no age: {flows}"))?;
        ensure!(age > 0 && u128::from(age) < end - begin, "{flows}");
        Ok(())
    })
}

#[test]
fn a_monotonic_clock_that_is_ahead_changes_nothing() -> Result<()> {
    check("1000000")
}

#[test]
fn a_monotonic_clock_that_is_behind_changes_nothing() -> Result<()> {
    check(&format!("-{}", uptime()? / 2))
}

#[test]
fn a_time_zone_that_cannot_be_found_is_said_and_printed_with_its_offset() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let start = Start { wrapper: &["env", "TZ=No/Where"], ..Start::default() };
    let tool = ToaTc::attach_as(&lab.server, &["--any"], start)?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let time = output.stdout.split(' ').next().context("nothing is printed")?;
    assert!(time.ends_with("+00:00"), "{time}");
    let line = "toa-tc: cannot find the time zone \"No/Where\" of the variable TZ: ";
    assert_eq!(output.stderr.matches(line).count(), 1, "{}", output.stderr);
    Ok(())
}
