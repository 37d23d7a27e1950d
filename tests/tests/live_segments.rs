//! The same segments, valid and forged, reach a real server and the tool. What is printed without a mark is what the
//! server was asked, and what the server was asked is printed.
#![cfg(feature = "kernel")]

use std::{env, mem, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use toa_tests::{
    lab::raw::RawLab,
    peers::nginx::{Nginx, Setup},
    process::Signal,
    segments::{self, verdict},
    tool::toa_tc::ToaTc,
    wait,
};

/// The variable with the seed of all random numbers.
const SEED: &str = "TOA_SEED";
/// The variables with the number of connections, and with the number of the first.
const CONNECTIONS: &str = "TOA_CONNECTIONS";
const FIRST: &str = "TOA_FIRST";
/// The connections of a run without these variables.
const MANY: u32 = 12_000;
/// The watched network.
const WATCHED: &str = "203.0.113.0/24";
/// Rings that are large enough for all stations.
const RING: &str = "33554432";
/// Differences that are shown.
const SHOWN: usize = 30;

fn variable<T: std::str::FromStr<Err = std::num::ParseIntError>>(name: &str) -> Result<Option<T>> {
    env::var(name).ok().map(|value| value.parse().with_context(|| format!("{name}={value}"))).transpose()
}

fn is_watched(client: SocketAddr) -> bool {
    matches!(client.ip(), std::net::IpAddr::V4(address) if address.octets().starts_with(&[203, 0, 113]))
}

#[test]
fn a_server_and_the_tool_take_the_same_segments() -> Result<()> {
    let seed = variable(SEED)?.unwrap_or_else(|| fastrand::u64(..));
    let (first, count) = (variable(FIRST)?.unwrap_or(0), variable(CONNECTIONS)?.unwrap_or(MANY));
    println!("{SEED}={seed}");
    let mut lab = RawLab::new()?;
    let setup = Setup {
        workers: 1,
        worker_connections: 65_536,
        keepalive: Duration::from_secs(10 * 60),
        ..Setup::default()
    };
    let nginx = Nginx::start_with(&lab.server.namespace, setup)?;
    let arguments = ["--ip", WATCHED, "-o", "json", "--ring-size", RING, "--max-flows", "262144"];
    let tool = ToaTc::attach(&lab.server, &arguments)?;
    let sent = segments::send(&mut lab, seed, first, count)?;
    // One worker logs in order, so the last request is the last line.
    let last = format!("{:06}-0", first + count);
    wait::until("the end of the log", || {
        Ok(nginx.log()?.iter().any(|logged| logged.request_id == last).then_some(()))
    })?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    // A request that nginx has refused is logged when its connection no longer lingers.
    let logged = nginx.stop()?;
    let mut verdict = verdict::compare(&sent, &logged, &output.stdout, is_watched)?;
    let faults = mem::take(&mut verdict.faults);
    println!("{} connections, {verdict:?}", sent.len());
    println!("{}", output.stderr);
    for (id, fault) in faults.iter().take(SHOWN) {
        println!("{id}: {fault}");
        let target = format!("/{id:06}/");
        let peer = sent.iter().rfind(|sent| sent.id == *id).map(|sent| sent.peer);
        let peer = peer
            .map(|peer| format!(r#""peer":{{"address":"{}","port":{}}}"#, peer.ip(), peer.port()))
            .unwrap_or_default();
        for logged in logged.iter().filter(|logged| logged.request.contains(&target)) {
            println!(
                "    nginx: {} {:?} {} {}",
                logged.status, logged.request, logged.request_id, logged.team
            );
        }
        for line in output.stdout.lines().filter(|line| line.contains(&peer)) {
            println!("    tool: {line}");
        }
        for line in sent.iter().filter(|sent| sent.id == *id).flat_map(|sent| &sent.trace) {
            println!("    {line}");
        }
    }
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!((ledger.bytes("lost")?, ledger.bytes("cut")?) == (0, 0), "the rings are too small");
    if count == MANY {
        let output: Vec<serde_json::Value> =
            output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let remarks = output.last().and_then(|last| last.get("remarks")).context("no ledger")?;
        for name in ["ack_unacceptable", "ack_old", "server_closed"] {
            ensure!(remarks[name]["count"].as_u64() > Some(0), "no {name} in {remarks}");
        }
    }
    // Of these, a beginning was seen, which had no target yet.
    let (unmentioned, unfinished) = (verdict.unmentioned, verdict.unfinished);
    ensure!(unmentioned <= unfinished, "{unmentioned} of {unfinished} heads, {SEED}={seed}");
    // What is not visible from the client's side is rare.
    let invisible = verdict.unread + verdict.unseen + verdict.in_gap;
    ensure!(invisible * 200 <= verdict.logged, "{invisible} of {} requests, {SEED}={seed}", verdict.logged);
    ensure!(faults.is_empty(), "{} differences, {SEED}={seed}", faults.len());
    Ok(())
}
