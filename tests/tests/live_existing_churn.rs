//! While processes pass connections on, close them, reuse their descriptor numbers and exit, `flows
//! --existing` and `attach --existing` inspect them without errors, wrong clients, leaked descriptors or
//! missing closes.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::AddAssign,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toa_tests::{
    lab::{BALANCER, Lab, marker::Habit, mounts, toa_module::ToaModule},
    peers::{
        churn::{self, Churn, ask_to_end},
        client::{Bound, Connection, Request},
    },
    process::Signal,
    tool::{toa_tc::ToaTc, usage},
    wait,
};

/// How often `flows --existing` runs.
const RUNS: u16 = 200;
const WORKERS: usize = 4;
/// Clients that continuously open and lose connections.
const VISITORS: u8 = 3;
/// Connections that stay open during the whole test.
const STEADY: u16 = 8;
/// Clients of each visitor, by address.
const CLIENTS: u16 = 20;
/// Connections that a visitor keeps for a while.
const KEPT: usize = 8;

/// The balancer's ports. Each is used only once per address, so that address and port identify one connection
/// for the whole test.
const PORTS: std::ops::Range<u16> = 20_000..60_000;

/// Every line of `flows --existing`, and of `attach --existing`, contains one of these after `toa-tc: `.
const OF_FLOWS: [&str; 3] =
    [" established connections: ", "not scanned: ", " came through something that marks TCP options"];
const OF_ATTACH: [&str; 12] = [
    // A connection that was open before is searched for its next request.
    "found by searching: may be part of a body",
    "attached to web0",
    "nothing is watched yet: ",
    " by process ",
    // More often in a second than is kept.
    "the rules were changed ",
    " TCP packets in ",
    " connections, ",
    "open connections: ",
    "open connections without TOA now: ",
    "not scanned: ",
    "packets (after GRO): ",
    "bytes: ",
];

/// Returns the balancer's side of a connection. Each visitor has its own address; steady connections have the
/// first.
fn peer(number: u8, port: u16) -> SocketAddr {
    let [a, b, c, d] = BALANCER.octets();
    ([a, b, c, if number == 0 { d } else { 100 + number }], port).into()
}

/// Returns the client that the module reports for one of the balancer's addresses and ports.
fn client(peer: SocketAddr) -> SocketAddr {
    let number = if let IpAddr::V4(address) = peer.ip() { address.octets()[3] } else { 0 };
    let last = u8::try_from(1 + peer.port() % CLIENTS).unwrap_or_default();
    ([203, 0, number, last], peer.port()).into()
}

fn is_steady(peer: SocketAddr) -> bool {
    peer.ip() == BALANCER
}

fn connect(lab: &Lab, peer: SocketAddr) -> Result<Connection> {
    Bound::new(&lab.balancer.namespace, peer)?.connect(churn::address())
}

/// Creates a request that names its client.
fn request(target: &str, connection: &Connection) -> Request {
    Request::get(target).field("x-client", &client(connection.local()).to_string())
}

fn ask(connection: &mut Connection, target: &str) -> Result<()> {
    let request = request(target, connection);
    connection.ask(request)
}

/// Makes the server close a connection and waits for the close.
fn end(connection: Connection, target: &str, ends_too: bool) -> Result<()> {
    let request = request(target, &connection);
    ask_to_end(connection, &request, ends_too).map(drop)
}

/// What visitors did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Visits {
    opened: u64,
    /// Closed by the server; the visitor saw the end.
    closed: u64,
    /// Closed by the exit of the server's process; the visitor saw the end.
    exited: u64,
    /// Closed by the visitor.
    left: u64,
}

impl AddAssign for Visits {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.exited += other.exited;
        self.left += other.left;
    }
}

/// Opens connections one after another until `stop`, each with a different fate.
fn visit(lab: &Lab, number: u8, stop: &AtomicBool) -> Result<Visits> {
    let mut visits = Visits::default();
    let mut kept = Vec::new();
    let mut random = fastrand::Rng::new();
    for port in PORTS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut connection = connect(lab, peer(number, port))?;
        visits.opened += 1;
        for _ in 0..random.u8(0..3) {
            ask(&mut connection, random.choice(["/keep", "/pass"]).context("no choice")?)?;
        }
        match random.u8(0..40) {
            0 => {
                end(connection, "/exit", false)?;
                visits.exited += 1;
            }
            1..8 => {
                drop(connection);
                visits.left += 1;
            }
            8..16 => kept.push(connection),
            _ => {
                end(connection, "/close", random.bool())?;
                visits.closed += 1;
            }
        }
        if kept.len() > KEPT {
            let mut connection = kept.swap_remove(random.usize(0..kept.len()));
            ask(&mut connection, "/keep")?;
            end(connection, "/close", random.bool())?;
            visits.closed += 1;
        }
    }
    for connection in kept {
        end(connection, "/close", false)?;
        visits.closed += 1;
    }
    Ok(visits)
}

/// Checks that every line on stderr is a known one.
fn check_said(stderr: &str, known: &[&str]) -> Result<()> {
    for line in stderr.lines() {
        let is_known =
            line.strip_prefix("toa-tc: ").is_some_and(|line| known.iter().any(|part| line.contains(part)));
        ensure!(is_known, "unexpected: {line}");
    }
    Ok(())
}

/// Checks that an object names no other client than the module does. Returns the balancer's side, and whether
/// a client is named.
fn check_client(object: &Value) -> Result<(SocketAddr, bool)> {
    let peer = &object["network"]["peer"];
    let (address, port) = (peer["address"].as_str(), peer["port"].as_u64());
    let (address, port) = (address.context("no address")?.parse()?, port.context("no port")?.try_into()?);
    let peer = SocketAddr::new(address, port);
    let expected = client(peer);
    let expected = json!({"address": expected.ip().to_string(), "port": expected.port()});
    let is_named = !object["client"].is_null();
    ensure!(!is_named || object["client"] == expected, "{object}");
    Ok((peer, is_named))
}

/// Lists all connections and counts the unnamed ones by reason. Steady ones must be named or in transit.
fn look(
    lab: &Lab,
    reasons: &mut BTreeMap<String, usize>,
    steady: &mut BTreeMap<SocketAddr, usize>,
) -> Result<()> {
    let output = ToaTc::run(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?.succeeded()?;
    check_said(&output.stderr, &OF_FLOWS)?;
    ensure!(output.stderr.contains(OF_FLOWS[0]), "no summary: {}", output.stderr);
    for line in output.stdout.lines() {
        let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let (peer, is_named) = check_client(&object)?;
        let reason = object["reason"].as_str().unwrap_or("named");
        let what = if is_steady(peer) {
            *steady.entry(peer).or_default() += usize::from(is_named);
            ensure!(is_named || reason == "unseen", "a connection that is open all the time: {object}");
            format!("{reason} of the steady")
        } else {
            ensure!(["named", "unseen", "closed", "queued"].contains(&reason), "{object}");
            reason.to_owned()
        };
        *reasons.entry(what).or_default() += 1;
    }
    Ok(())
}

/// Lists connections repeatedly and, in between, changes the rules of `tool` and sends a request on one of
/// `steady`.
fn look_on(lab: &Lab, tool: &ToaTc, steady: &mut [Connection]) -> Result<()> {
    let (mut reasons, mut named) = (BTreeMap::new(), BTreeMap::new());
    // One client of each visitor and one of the steady connections. The rules stay for ten runs.
    let rules = |run: u16| -> Vec<String> {
        let port = PORTS.start + run % CLIENTS;
        (0..=VISITORS).map(|number| client(peer(number, port)).ip().to_string()).collect()
    };
    for run in 0..RUNS {
        look(lab, &mut reasons, &mut named).with_context(|| format!("run {run}"))?;
        tool.watch_all("add", &rules(run))?;
        if let Some(before) = run.checked_sub(10) {
            tool.watch_all("remove", &rules(before))?;
        }
        let next = usize::from(run) % steady.len();
        ask(&mut steady[next], "/keep")?;
    }
    println!("rows of {RUNS} runs: {reasons:?}");
    ensure!(named.len() == steady.len() && named.values().all(|times| *times > 0), "{named:?}");
    Ok(())
}

/// Checks what `attach` printed and returns the number of requests.
fn check_requests(stdout: &str) -> Result<usize> {
    let mut requests = 0;
    for line in stdout.lines() {
        let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if object["event"] != "ledger" {
            let (peer, is_named) = check_client(&object)?;
            ensure!(is_named && object["toa"]["learned_from"] == "existing", "{object}");
            if object["event"] == "request" {
                let said = &object["http"]["request"]["header"]["x-client"];
                ensure!(*said == json!([client(peer).to_string()]), "{object}");
                requests += 1;
            }
        }
    }
    Ok(requests)
}

#[test]
fn processes_that_pass_on_close_and_exit_are_not_disturbed_and_disturb_nothing() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::Syn)?;
        let mut module = ToaModule::load(&lab.server.namespace)?;
        let steady = PORTS.start..PORTS.start + STEADY;
        let name = |number| if number == 0 { steady.clone() } else { PORTS };
        for number in 0..=VISITORS {
            for peer in name(number).map(|port| peer(number, port)) {
                module.name_client(peer, client(peer))?;
            }
            if number > 0 {
                lab.balancer.add_address(peer(number, 0).ip(), 24)?;
            }
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_toa-churn"));
        let server = Churn::start(&lab.server.namespace, binary, WORKERS)?;
        let tool = ToaTc::attach(&lab.server, &["--existing", "-o", "json"])?;
        wait::until("the first look", || {
            Ok(tool.stderr()?.contains("open connections: following 0 of").then_some(()))
        })?;
        let descriptors = || Ok::<_, anyhow::Error>((usage::descriptors(tool.id())?, server.descriptors()?));
        // It briefly has more while it checks whether rules were added.
        let looks = (0..100).map(|_| descriptors()).collect::<Result<Vec<_>>>()?;
        let before = looks.into_iter().min().context("no look")?;
        let mut steady = steady.map(|port| connect(&lab, peer(0, port))).collect::<Result<Vec<_>>>()?;
        for connection in &mut steady {
            ask(connection, "/keep")?;
        }

        let stop = AtomicBool::new(false);
        let (looked, visits) = thread::scope(|scope| {
            let (lab, stop) = (&lab, &stop);
            let visitors: Vec<_> =
                (1..=VISITORS).map(|number| scope.spawn(move || visit(lab, number, stop))).collect();
            let looked = look_on(lab, &tool, &mut steady);
            stop.store(true, Ordering::Relaxed);
            let join = |visitor: thread::ScopedJoinHandle<'_, _>| {
                visitor.join().map_err(|_| anyhow::anyhow!("a visitor panicked"))?
            };
            (looked, visitors.into_iter().map(join).collect::<Result<Vec<Visits>>>())
        });
        looked?;
        let mut sum = Visits::default();
        visits?.into_iter().for_each(|visits| sum += visits);
        // A steady connection is followed as soon as a rule matches its client.
        tool.watch("add", &client(steady[0].local()).ip().to_string())?;
        wait::until("a request of a connection that was open before its rule", || {
            ask(&mut steady[0], "/keep")?;
            Ok((check_requests(&tool.stdout()?)? > 0).then_some(()))
        })?;
        for connection in steady {
            end(connection, "/close", false)?;
        }
        let mut last = None;
        wait::until("the descriptors of before", || {
            Ok((last.insert(descriptors()?) == &before).then_some(()))
        })
        .with_context(|| format!("before: {before:?}, then: {last:?}"))?;

        let tally = server.stop()?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let requests = check_requests(&output.stdout)?;
        println!("{sum:?}; the server: {tally}; attach: {requests} requests");
        println!("descriptors of attach and of the workers: {before:?}");
        check_said(&output.stderr, &OF_ATTACH)?;
        let (level, edge) = (tally.level, tally.edge);
        assert_eq!(level.closed + edge.closed, sum.closed + u64::from(STEADY));
        assert_eq!(level.exited + edge.exited, sum.exited);
        assert_eq!(level.accepted + edge.accepted, sum.opened + u64::from(STEADY));
        for (what, count) in [
            ("accepted", level.accepted.min(edge.accepted)),
            ("passed on", level.passed.min(edge.passed)),
            ("closed", level.closed.min(edge.closed)),
            ("replaced", level.exited.min(edge.exited)),
            ("numbers used again", level.reused.min(edge.reused)),
        ] {
            assert!(count > 0, "{what}: {tally}");
        }
        Ok(())
    })
}
