//! Whichever packets a balancer marks, the watched client's requests are printed once each, and no others.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::{
        client::{Connection, Request},
        nginx::Logged,
    },
    process::Signal,
    tool::{
        printed::{Printed, Row, rows_of},
        toa_tc::ToaTc,
    },
};

const CLIENTS: u8 = 5;
const CONNECTIONS_PER_CLIENT: u16 = 10;
const REQUESTS: u32 = 20;

/// The watched client, with the port of one of its connections. Every other client uses that port, too.
const WATCHED: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(address(3), 40_007));

const fn address(client: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(203, 0, 113, client)
}

/// Returns all real clients: each port of each address.
fn clients() -> Vec<SocketAddr> {
    let ports = |client| (0..CONNECTIONS_PER_CLIENT).map(move |port| (address(client), 40_000 + port).into());
    (1..=CLIENTS).flat_map(ports).collect()
}

fn request(client: Option<SocketAddr>, connection: usize, number: u32) -> Request {
    let team = client.map_or("none".to_owned(), |client| format!("team-{}", client.ip()));
    Request::get(&format!("/orders/{connection}?number={number}"))
        .field("x-request-id", &format!("{connection}-{number}"))
        .field("x-team", &team)
}

/// Attaches with `arguments`, lets all clients send requests, and compares the printed requests with those of
/// the clients that `is_watched` selects.
fn check(habit: Habit, arguments: &[&str], is_watched: impl Fn(SocketAddr) -> bool) -> Result<()> {
    let mut lab = Lab::new(habit)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, arguments)?;
    // One more connection has no real client.
    let clients: Vec<_> = clients().into_iter().map(Some).chain([None]).collect();
    let mut connections: Vec<(Option<SocketAddr>, Connection)> = Vec::new();
    for client in clients {
        connections.push((client, lab.connect(client)?));
    }
    for number in 0..REQUESTS {
        for (index, (client, connection)) in connections.iter_mut().enumerate() {
            connection.ask(request(*client, index, number))?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    check_log(&connections, &nginx.stop()?)?;

    let watched: Vec<_> = connections
        .iter()
        .filter_map(|(client, connection)| Some(((*client)?, connection)))
        .filter(|(client, _)| is_watched(*client))
        .collect();
    let rows = watched.iter().flat_map(|(client, connection)| rows_of(*client, connection));
    let expected: BTreeSet<Row> = rows.collect();
    ensure!(!expected.is_empty(), "the test watches nobody");
    let printed: Vec<Row> = output.requests()?.iter().map(Printed::row).collect();
    let what = format!("{habit:?}, {arguments:?}");
    assert_eq!(printed.iter().cloned().collect::<BTreeSet<_>>(), expected, "{what}");
    assert_eq!(printed.len(), expected.len(), "{what}: printed more than once");
    assert!(output.requests()?.iter().all(|request| request.marks.is_empty()), "{what}");
    let ledger = output.ledger()?;
    ledger.check()?;
    let sent: usize = watched.iter().map(|(_, connection)| connection.sent_bytes()).sum();
    assert_eq!(ledger.bytes_once()?, u64::try_from(sent)?, "{what}");
    assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{what}");
    Ok(())
}

/// Checks that nginx logged the clients' requests, and only those, from the balancer's address.
fn check_log(connections: &[(Option<SocketAddr>, Connection)], logged: &[Logged]) -> Result<()> {
    let by_id: BTreeMap<_, _> = logged.iter().map(|logged| (logged.request_id.as_str(), logged)).collect();
    let mut asked = 0;
    for (_, connection) in connections {
        for request in connection.sent() {
            let id = request.value("x-request-id").context("no id")?;
            let logged = by_id.get(id).with_context(|| format!("nginx did not log {id}"))?;
            ensure!(logged.peer == connection.local(), "{id} came from {}", logged.peer);
            ensure!(logged.request == format!("GET {} HTTP/1.1", request.target), "{logged:?}");
            ensure!(request.value("x-team") == Some(&logged.team), "{logged:?}");
            asked += 1;
        }
    }
    ensure!(asked == logged.len() && asked == by_id.len(), "{asked} asked, {} logged", logged.len());
    Ok(())
}

fn check_all_filters(habit: Habit) -> Result<()> {
    let ip: IpAddr = WATCHED.ip();
    check(habit, &["--ip", &ip.to_string()], |client| client.ip() == ip)?;
    check(habit, &["--ip", &WATCHED.to_string()], |client| client == WATCHED)?;
    let port = WATCHED.port();
    check(habit, &["--port", &port.to_string()], |client| client.port() == port)?;
    check(habit, &["--any"], |_| true)
}

#[test]
fn marked_on_the_syn_only() -> Result<()> {
    check_all_filters(Habit::Syn)
}

#[test]
fn marked_on_the_syn_and_early_packets() -> Result<()> {
    check_all_filters(Habit::SynAndEarly)
}

#[test]
fn marked_on_early_packets_only() -> Result<()> {
    check_all_filters(Habit::Early)
}

#[test]
fn marked_on_the_handshake_ack_only() -> Result<()> {
    check_all_filters(Habit::HandshakeAck)
}

#[test]
fn marked_on_the_first_data_only() -> Result<()> {
    check_all_filters(Habit::FirstData)
}

#[test]
fn address_and_port_together() -> Result<()> {
    let (ip, port) = (WATCHED.ip(), WATCHED.port());
    let arguments = ["--ip", &ip.to_string(), "--port", &port.to_string()];
    check(Habit::SynAndEarly, &arguments, |client| client == WATCHED)?;
    let others = ["--ip", &ip.to_string(), "--ip", &address(1).to_string()];
    check(Habit::SynAndEarly, &others, |client| client.ip() == ip || client.ip() == address(1))
}
