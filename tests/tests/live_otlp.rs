//! `attach --otlp`: each printed request reaches a receiver of OpenTelemetry, or is counted as not sent. Needs a tool that is
//! built with `--features otlp`.
#![cfg(all(feature = "kernel", feature = "otlp"))]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{
        client::Request,
        collector::{Answer, Collector, Received, attribute},
        wrk::{self, Load, PROBES, Requests},
    },
    process::Signal,
    tool::{
        thread_rights,
        toa_tc::{Output, ToaTc},
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const CONNECTIONS: u32 = 20;

/// The numbers of requests that were sent and not sent, as the last line about it says.
fn said(output: &Output) -> Result<(u64, u64)> {
    let line = output.stderr.lines().rfind(|line| line.contains(" sent to http://")).context("no line")?;
    let number = |text: &str| text.replace(',', "").parse::<u64>().ok();
    let words: Vec<_> = line.split(' ').collect();
    let sent = words.get(1).and_then(|word| number(word)).with_context(|| line.to_owned())?;
    let missing =
        line.ends_with(" not sent").then(|| words.iter().rev().nth(3).and_then(|word| number(word)));
    Ok((sent, missing.map_or(Some(0), |missing| missing).with_context(|| line.to_owned())?))
}

/// Returns the printed requests by their `x-request-id`.
fn printed(output: &Output) -> Result<BTreeMap<String, Value>> {
    let mut requests = BTreeMap::new();
    for line in output.stdout.lines() {
        let object: Value = serde_json::from_str(line)?;
        if object["event"] == "request" {
            let id = object["http"]["request"]["header"]["x-request-id"][0].as_str().context("no id")?;
            ensure!(requests.insert(id.to_owned(), object.clone()).is_none(), "{id} was printed twice");
        }
    }
    Ok(requests)
}

/// Fails unless the records are of printed requests, each once and with the same values.
fn check(received: &Received, printed: &BTreeMap<String, Value>) -> Result<()> {
    ensure!(received.errors.is_empty(), "{:?}", received.errors);
    let mut ids = BTreeSet::new();
    for record in &received.records {
        let of = |key: &str| attribute(&record.attributes, key);
        let id = of("http.request.header.x-request-id").context("no id")?;
        let request = printed.get(&id).with_context(|| format!("{id} was not printed"))?;
        for key in [
            "client.address",
            "client.port",
            "network.peer.port",
            "server.port",
            "http.request.method",
            "url.path",
        ] {
            let value = request.pointer(&format!("/{}", key.replace('.', "/"))).context("no value")?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            ensure!(of(key).as_ref() == Some(&value), "{id}: {key}: {:?}, printed {value}", of(key));
        }
        ensure!(ids.insert(id.clone()), "{id} arrived twice");
    }
    Ok(())
}

#[test]
fn each_request_of_wrk_arrives_or_is_counted() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let client = |number: u16| SocketAddr::from(([203, 0, 113, 9], 10_000 + number));
    let options: Vec<_> = (0..u16::try_from(PROBES + CONNECTIONS)?).map(client).map(toa_option).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let collector = Collector::start(&lab.server.namespace, |_| Answer::Rejects(0))?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--otlp", &collector.url()])?;
    let load = Load { connections: CONNECTIONS, duration: Duration::from_secs(4), requests: Requests::Small };
    thread::scope(|scope| {
        let load = scope.spawn(|| wrk::run(&lab.balancer.namespace, nginx_address(), load));
        wait::until("records while wrk runs", || {
            Ok((!collector.received().records.is_empty()).then_some(()))
        })?;
        load.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
    })?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let (received, printed, (sent, missing)) = (collector.received(), printed(&output)?, said(&output)?);
    println!(
        "{} printed, {} arrived in {} exports, {missing} not sent",
        printed.len(),
        received.records.len(),
        received.exports.len()
    );
    check(&received, &printed)?;
    assert_eq!(u64::try_from(received.records.len())?, sent);
    assert_eq!(u64::try_from(printed.len())?, sent + missing);
    for resource in &received.resources {
        assert_eq!(attribute(resource, "service.name").as_deref(), Some("toa-tc"));
    }
    Ok(())
}

/// Sends `count` requests on a connection.
fn ask(lab: &mut Lab, count: u32) -> Result<()> {
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    for number in 0..count {
        let request = Request::get("/orders?token=hidden").field("x-request-id", &number.to_string());
        connection.ask(request.field("user-agent", "curl/8").field("authorization", "Bearer hidden"))?;
    }
    Ok(())
}

#[test]
fn a_busy_receiver_gets_the_same_requests_again_and_secrets_stay_here() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let answer = |number| match number {
        0 => Answer::Status(503, Some(2)),
        1 => Answer::Status(429, None),
        _ => Answer::Rejects(0),
    };
    let collector = Collector::start(&lab.server.namespace, answer)?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--otlp", &collector.url()])?;
    ask(&mut lab, 3)?;
    wait::until("all records", || Ok((collector.received().records.len() == 3).then_some(())))?;
    // It sends with no rights, as all threads but the main one.
    let threads = thread_rights::of(tool.id())?;
    let thread = |name: &str| threads.iter().find(|thread| thread.name == name).context("no thread");
    let (sender, stderr) = (thread("otlp")?, thread("stderr")?);
    assert!(
        sender.no_new_privs && sender.seccomp == 2 && sender.capabilities == stderr.capabilities,
        "{threads:?}"
    );
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let received = collector.received();
    check(&received, &printed(&output)?)?;
    assert_eq!(said(&output)?, (3, 0));
    let waits: Vec<_> = received.exports.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= Duration::from_secs(2) && waits[1] >= Duration::from_millis(500), "{waits:?}");
    let complaints = output.stderr.lines().filter(|line| line.contains("cannot send requests to"));
    assert_eq!(complaints.count(), 1, "{}", output.stderr);
    for record in &received.records {
        let of = |key: &str| attribute(&record.attributes, key);
        assert_eq!(of("http.request.header.authorization").as_deref(), Some("Bearer ••• (redacted)"));
        assert_eq!(of("url.query").as_deref(), Some("token=•••"));
        assert_eq!(of("user_agent.original").as_deref(), Some("curl/8"));
    }
    Ok(())
}

#[test]
fn what_a_receiver_refuses_is_counted_and_said() -> Result<()> {
    for (answer, text) in [
        (Answer::Status(400, None), ": 400 Bad Request"),
        (Answer::Rejects(1), " rejected 1 request: too many"),
    ] {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let collector = Collector::start(&lab.server.namespace, move |_| answer)?;
        let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--otlp", &collector.url()])?;
        ask(&mut lab, 3)?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert!(output.stderr.contains(text), "{}", output.stderr);
        let received = collector.received();
        let missing = if received.records.is_empty() { 3 } else { u64::try_from(received.exports.len())? };
        assert_eq!(said(&output)?, (3 - missing, missing), "{}", output.stderr);
        assert_eq!(printed(&output)?.len(), 3);
    }
    Ok(())
}

#[test]
fn without_a_receiver_everything_is_printed_and_the_end_waits_only_briefly() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json", "--otlp", "http://127.0.0.1:1"])?;
    ask(&mut lab, 3)?;
    wait::until("the complaint", || Ok(tool.stderr()?.contains("cannot send requests to").then_some(())))?;
    let begin = Instant::now();
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    ensure!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());
    assert_eq!((printed(&output)?.len(), said(&output)?), (3, (0, 3)));
    Ok(())
}
