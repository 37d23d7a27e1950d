//! 28,000 connections that were open before, whose clients only a TOA module knows: what the tool finds, and what that
//! costs beside querying every server's socket.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{BALANCER, Lab, SERVER, marker::Habit, netns::Namespace},
    peers::client::Request,
    process::{Process, Signal},
    tool::{
        commands::objects,
        toa_tc::{self, ToaTc},
        usage,
    },
    wait,
};

use crate::module::{Order, Place, give};

/// Clients, and connections of each.
const CLIENTS: u16 = 28;
const OF_ONE: u16 = 1_000;
const TOTAL: u16 = CLIENTS * OF_ONE;

/// The last connections, which stay in the accept queue.
const QUEUED: u16 = 1_000;

/// The balancer's first port.
const FIRST_PORT: u16 = 10_000;

const SERVER_PORT: u16 = 80;

/// How long one step takes at most on an emulated CPU.
const LIMIT: Duration = Duration::from_secs(2 * 60);

/// Returns the client of the connection from this port of the balancer.
fn client(port: u16) -> SocketAddr {
    let last = u8::try_from((port - FIRST_PORT) % CLIENTS).unwrap_or_default() + 1;
    ([203, 0, 113, last], port).into()
}

/// Returns the CPU time of a run of `flows --existing`.
fn cost(namespace: &Namespace) -> Result<Duration> {
    let mut command = namespace.command(toa_tc::binary()?);
    command.args(["flows", "--existing", "203.0.113.1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::new("toa-tc", command.spawn().context("starting toa-tc")?);
    let cpu = usage::until_end(process.id(), LIMIT)?.cpu;
    // Queries name nobody here, so nothing is found.
    let status = process.wait(LIMIT)?;
    ensure!([Some(0), Some(3)].contains(&status.code()), "toa-tc flows --existing ended with {status}");
    Ok(cpu)
}

/// Opens the connections. Returns both ends; the server's are those that were accepted.
fn open(lab: &Lab, listener: &TcpListener) -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    thread::scope(|scope| {
        let accepting = scope.spawn(|| -> Result<Vec<TcpStream>> {
            (QUEUED..TOTAL).map(|_| Ok(listener.accept()?.0)).collect()
        });
        let connect = |port| -> Result<TcpStream> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((BALANCER, port)).into())?;
            socket.connect(&server().into()).with_context(|| format!("connecting from port {port}"))?;
            Ok(socket.into())
        };
        let connections =
            lab.balancer.namespace.run(|| (FIRST_PORT..).take(TOTAL.into()).map(connect).collect())?;
        let accepted = accepting.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        Ok((connections, accepted))
    })
}

fn server() -> SocketAddr {
    (SERVER, SERVER_PORT).into()
}

/// Makes the module keep the clients of all connections, or nothing.
fn keep(namespace: &Namespace, place: Place) -> Result<()> {
    let ports = (FIRST_PORT..).take(TOTAL.into());
    let order = |port| Order {
        peer: (BALANCER, port).into(),
        server: server(),
        place,
        option: toa_option(client(port)),
    };
    give(namespace, ports.map(order))
}

/// Checks that all clients are named, that the requests of one are printed, and prints the costs.
pub(crate) fn check() -> Result<()> {
    let lab = Lab::new(Habit::Early)?;
    let namespace = &lab.server.namespace;
    let listener = namespace.run(|| Ok(TcpListener::bind(server())?))?;
    // Room for those that are not accepted.
    rustix::net::listen(&listener, 2 * i32::from(QUEUED))?;
    let (mut connections, _accepted) = open(&lab, &listener)?;
    keep(namespace, Place::Inline)?;

    let rows = objects(namespace, &["flows", "--existing", "-o", "json"])?;
    ensure!(rows.len() == usize::from(TOTAL), "{} rows", rows.len());
    let mut queued = 0;
    for row in &rows {
        let text = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
        let number = |pointer: &str| row.pointer(pointer).and_then(Value::as_u64);
        let port = u16::try_from(number("/network/peer/port").context("no port")?)?;
        let expected = client(port);
        ensure!(text("/client/address") == Some(&expected.ip().to_string()), "{row}");
        ensure!(number("/client/port") == Some(expected.port().into()), "{row}");
        ensure!(text("/named_by") == Some("module"), "{row}");
        queued += u16::from(row.get("process").is_none_or(Value::is_null));
    }
    ensure!(queued == QUEUED, "{queued} connections without a process");
    println!("vm: {TOTAL} connections, {QUEUED} of them not accepted: all named by the module's memory");

    follow(&lab, &mut connections)?;
    println!("vm: the next request on each of the {OF_ONE} connections of one client was printed once");

    let by_memory = cost(namespace)?;
    keep(namespace, Place::Nowhere)?;
    let by_queries = cost(namespace)?;
    let ratio = by_memory.as_secs_f64() / by_queries.as_secs_f64();
    println!(
        "vm: flows --existing RULE: {:.2} s of CPU with the module's memory, {:.2} s with queries: ratio {ratio:.2}",
        by_memory.as_secs_f64(),
        by_queries.as_secs_f64()
    );
    Ok(())
}

/// Attaches with a rule for one client, and lets each of its connections send a request.
fn follow(lab: &Lab, connections: &mut [TcpStream]) -> Result<()> {
    let tool = ToaTc::attach(&lab.server, &["--existing", "--ip", "203.0.113.1"])?;
    let line = "open connections: following 1,000 of 28,000 (28,000 with a known client";
    wait::within(LIMIT, line, || Ok(tool.stderr()?.contains(line).then_some(())))
        .with_context(|| tool.stderr().unwrap_or_default())?;
    for connection in connections.iter_mut() {
        let port = connection.local_addr()?.port();
        if client(port).ip() == client(FIRST_PORT).ip() {
            connection.write_all(&Request::get(&format!("/of/{port}")).head())?;
        }
    }
    let last = format!("/of/{}", FIRST_PORT + TOTAL - CLIENTS);
    wait::within(LIMIT, "the requests", || Ok(tool.stdout()?.contains(&last).then_some(())))?;
    let requests = tool.stop(Signal::Interrupt)?.succeeded()?.requests()?;
    ensure!(requests.len() == usize::from(OF_ONE), "{} requests", requests.len());
    for request in &requests {
        let port = request.via.port();
        ensure!(request.client == client(port) && request.target == format!("/of/{port}"), "{request:?}");
    }
    Ok(())
}
