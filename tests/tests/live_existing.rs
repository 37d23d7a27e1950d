//! Connections that were opened before attach and have no TOA in any packet are followed because the server's
//! sockets name their clients. They are printed from their next request on.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, nginx_address, toa_module::ToaModule},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        commands::objects,
        toa_tc::{Output, ToaTc},
    },
    wait,
};

const CLIENTS: u8 = 10;
const CONNECTIONS: u16 = 20;
const WATCHED: &str = "203.0.113.3";

/// Returns a client of the balancer.
fn client(number: u8, port: u16) -> SocketAddr {
    ([203, 0, 113, number], 40_000 + port).into()
}

/// Returns a client with an IPv6 address.
fn client_ipv6(number: u8, port: u16) -> SocketAddr {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into());
    SocketAddr::new(address.into(), 40_000 + port)
}

/// Builds a lab whose server knows the clients of unmarked connections.
fn lab() -> Result<(Lab, ToaModule)> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let module = ToaModule::load(&lab.server.namespace)?;
    Ok((lab, module))
}

/// Attaches with `--existing` and waits until the first scan has reported `line`.
fn attach(lab: &Lab, arguments: &[&str], line: &str) -> Result<ToaTc> {
    let tool = ToaTc::attach(&lab.server, &[&["--existing", "-o", "json"], arguments].concat())?;
    wait_for(&tool, line)?;
    Ok(tool)
}

fn wait_for(tool: &ToaTc, line: &str) -> Result<()> {
    wait::until(line, || Ok(tool.stderr()?.contains(line).then_some(())))
        .with_context(|| tool.stderr().unwrap_or_default())
}

/// Waits until nginx has accepted this many connections with known clients.
fn wait_until_accepted(lab: &Lab, count: usize) -> Result<()> {
    let named = format!(": {count} with a known client");
    wait::until("nginx to accept", || {
        let output = ToaTc::run(&lab.server.namespace, &["flows", "--existing"])?.worked()?;
        Ok(output.stderr.contains(&named).then_some(()))
    })
}

/// What identifies a request: client, balancer's port, server, target.
type Row = (String, u64, u64, String, String);

/// Returns the requests in an output. All lines must be valid, and all requests learned from one of
/// `learned_from`.
fn requests(output: &Output, learned_from: &[&str]) -> Result<Vec<Row>> {
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    let mut rows = Vec::new();
    for line in output.stdout.lines() {
        let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(schema.is_valid(&object), "{line}");
        if object["event"] != "request" {
            continue;
        }
        let from = object["toa"]["learned_from"].as_str().context("not learned")?;
        ensure!(learned_from.contains(&from), "{line}");
        ensure!(object["toa"]["kind"].is_null() == (from == "existing"), "{line}");
        ensure!(object["incomplete"].is_null(), "{line}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        rows.push((
            text(&object["client"]["address"]),
            number(&object["client"]["port"]),
            number(&object["network"]["peer"]["port"]),
            text(&object["server"]["address"]),
            text(&object["url"]["original"]),
        ));
    }
    rows.sort_unstable();
    Ok(rows)
}

fn row(client: SocketAddr, connection: &Connection, target: &str) -> Row {
    let peer = connection.local().port().into();
    let server = connection.server().ip().to_string();
    (client.ip().to_string(), client.port().into(), peer, server, target.to_owned())
}

#[test]
fn the_watched_clients_open_connections_are_printed_from_then_on() -> Result<()> {
    let (lab, mut module) = lab()?;
    let _nginx = lab.nginx()?;
    let mut open = Vec::new();
    for number in 1..=CLIENTS {
        for port in 0..CONNECTIONS {
            let client = client(number, port);
            let mut connection = lab.connect_unmarked(&mut module, client)?;
            connection.ask(Request::get("/before"))?;
            open.push((client, connection));
        }
    }
    let line = "open connections: following 20 of 200 (200 with a known client)\n";
    let tool = attach(&lab, &["--ip", WATCHED], line)?;
    let mut expected = Vec::new();
    for (client, connection) in &mut open {
        for number in 0..3 {
            let target = format!("/after/{number}");
            connection.ask(Request::get(&target))?;
            if client.ip() == WATCHED.parse::<IpAddr>()? {
                expected.push(row(*client, connection, &target));
            }
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    expected.sort_unstable();
    assert_eq!(expected.len(), 60);
    assert_eq!(requests(&output, &["existing"])?, expected, "{}", output.stderr);
    Ok(())
}

#[test]
fn ipv6_clients_are_followed() -> Result<()> {
    let (lab, mut module) = lab()?;
    let _nginx = lab.nginx()?;
    let (watched, other) = (client_ipv6(3, 1), client_ipv6(4, 1));
    let mut connections = [watched, other].map(|client| lab.connect_unmarked(&mut module, client));
    wait_until_accepted(&lab, 2)?;
    let tool = attach(&lab, &["--ip", &watched.ip().to_string()], "following 1 of 2 ")?;
    for connection in connections.iter_mut().flatten() {
        connection.ask(Request::get("/after"))?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let connection = connections[0].as_ref().ok().context("not connected")?;
    assert_eq!(requests(&output, &["existing"])?, [row(watched, connection, "/after")]);
    Ok(())
}

/// The state of a connection while the tool attaches.
#[derive(Clone, Copy, Debug)]
enum Place {
    Idle,
    Head,
    Body,
}

#[test]
fn whatever_a_connection_is_at_its_next_request_is_printed() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let (mut lab, mut module) = lab()?;
        let _nginx = lab.nginx()?;
        let mut open = Vec::new();
        for port in 0..CONNECTIONS {
            let place = [Place::Idle, Place::Head, Place::Body][usize::from(port % 3)];
            let client = client(3, port);
            let mut connection = lab.connect_unmarked(&mut module, client)?;
            connection.ask(Request::get("/before"))?;
            match place {
                Place::Idle => {}
                Place::Head => connection.begin(Request::get("/half").field("x-team", "payments"), 30)?,
                Place::Body => {
                    let request = Request::post("/upload", 100_000);
                    let head = request.head().len();
                    connection.begin(request, head + 40_000)?;
                }
            }
            open.push((client, connection));
        }
        let is_attached = AtomicBool::new(false);
        let server = lab.server.clone();
        let (tool, meanwhile) = thread::scope(|scope| -> Result<_> {
            // Connections are being opened all the time, half of them marked and half known only to the
            // server.
            let opening = scope.spawn(|| -> Result<_> {
                let mut opened = Vec::new();
                while opened.len() < 100 || !is_attached.load(Ordering::Relaxed) && opened.len() < 300 {
                    let client = client(3, 1000 + u16::try_from(opened.len())?);
                    let bound = lab.bind()?;
                    // Like a real module, it knows the client that a TOA names.
                    module.name_client(bound.local(), client)?;
                    if opened.len() % 2 == 0 {
                        lab.marker.assign(bound.local(), &toa_option(client))?;
                    }
                    opened.push((client, bound.connect(nginx_address())?));
                }
                Ok(opened)
            });
            let tool = ToaTc::attach(&server, &["--existing", "-o", "json", "--ip", WATCHED]);
            let tool = tool.and_then(|tool| wait_for(&tool, "open connections: ").map(|()| tool));
            is_attached.store(true, Ordering::Relaxed);
            let opened = opening.join().map_err(|_| anyhow::anyhow!("the opening thread panicked"))??;
            Ok((tool?, opened))
        })?;
        let mut expected = Vec::new();
        for (_, connection) in &mut open {
            connection.finish()?;
        }
        open.extend(meanwhile);
        // Unmarked connections that were opened last are found by the next scan, which any added rule
        // triggers.
        tool.watch("add", "203.0.113.200")?;
        wait::until("all connections to be followed", || {
            let flows = objects(&lab.server.namespace, &["flows", "-o", "json"])?;
            let followed: BTreeSet<_> =
                flows.iter().map(|it| it["network"]["peer"]["port"].as_u64()).collect();
            let mut ports = open.iter().map(|(_, connection)| connection.local().port());
            Ok(ports.all(|port| followed.contains(&Some(port.into()))).then_some(()))
        })?;
        for (client, connection) in &mut open {
            for number in 0..2 {
                let target = format!("/after/{number}");
                connection.ask(Request::get(&target))?;
                expected.push(row(*client, connection, &target));
            }
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        expected.sort_unstable();
        assert!(expected.len() >= 240, "{}", expected.len());
        assert_eq!(requests(&output, &["existing", "syn", "ack"])?, expected, "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn rules_that_are_added_later_apply_to_open_connections() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let (lab, mut module) = lab()?;
        let _nginx = lab.nginx()?;
        let (first, second) = (client(3, 1), client(4, 1));
        let mut of_first = lab.connect_unmarked(&mut module, first)?;
        let mut of_second = lab.connect_unmarked(&mut module, second)?;
        wait_until_accepted(&lab, 2)?;
        let tool = attach(&lab, &[], "open connections: following 0 of 2 (2 with")?;
        let flows = || objects(&lab.server.namespace, &["flows", "-o", "json"]);
        let wait_for_flows =
            |count| wait::until("connections to be followed", || Ok((flows()?.len() == count).then_some(())));
        of_first.ask(Request::get("/unwatched"))?;
        tool.watch("add", &first.ip().to_string())?;
        wait_for_flows(1)?;
        of_first.ask(Request::get("/watched"))?;
        of_second.ask(Request::get("/unwatched"))?;
        tool.watch("remove", &first.ip().to_string())?;
        wait_for_flows(0)?;
        of_first.ask(Request::get("/removed"))?;
        tool.watch("add", "203.0.113.0/24")?;
        wait_for_flows(2)?;
        of_first.ask(Request::get("/again"))?;
        of_second.ask(Request::get("/again"))?;
        for flow in flows()? {
            assert_eq!(
                (&flow["toa"]["learned_from"], &flow["toa"]["kind"]),
                (&"existing".into(), &Value::Null)
            );
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let mut expected = [
            row(first, &of_first, "/watched"),
            row(first, &of_first, "/again"),
            row(second, &of_second, "/again"),
        ];
        expected.sort_unstable();
        assert_eq!(requests(&output, &["existing"])?, expected, "{}", output.stderr);
        assert!(!output.stderr.contains("--max-flows"), "taken for evicted: {}", output.stderr);
        Ok(())
    })
}

#[test]
fn a_connection_whose_client_a_packet_names_as_well_is_one() -> Result<()> {
    let (mut lab, mut module) = lab()?;
    let _nginx = lab.nginx()?;
    let watched = client(3, 1);
    // Only the first data is marked, which is sent after the scan.
    lab.marker.set_habit(Habit::FirstData)?;
    let bound = lab.bind()?;
    module.name_client(bound.local(), watched)?;
    lab.marker.assign(bound.local(), &toa_option(watched))?;
    let mut connection = bound.connect(nginx_address())?;
    wait_until_accepted(&lab, 1)?;
    let tool = attach(&lab, &["--any"], "following 1 of 1 ")?;
    connection.ask(Request::get("/after"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(requests(&output, &["existing"])?, [row(watched, &connection, "/after")]);
    Ok(())
}

#[test]
fn balancers_and_server_ports_restrict_whom_it_asks() -> Result<()> {
    for (arguments, line) in [
        (["--lb", "10.9.0.0/24"], "following 1 of 1 (1 with a known client)\n"),
        (["--lb", "192.0.2.0/24"], "(0 with a known client; 1 from a source not listed with --lb)\n"),
        (["--server-port", "80"], "following 1 of 1 (1 with a known client)\n"),
        (["--server-port", "443"], "(0 with a known client; 1 not on a --server-port)\n"),
    ] {
        let (lab, mut module) = lab()?;
        let _nginx = lab.nginx()?;
        let _connection = lab.connect_unmarked(&mut module, client(3, 1))?;
        wait_until_accepted(&lab, 1)?;
        let tool = attach(&lab, &[&["--any"], &arguments[..]].concat(), line)?;
        tool.stop(Signal::Interrupt)?.succeeded()?;
    }
    Ok(())
}

#[test]
fn what_a_packet_has_taught_is_not_taught_again() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let (mut lab, mut module) = lab()?;
        let _nginx = lab.nginx()?;
        let (first, second) = (client(3, 1), client(4, 1));
        let mut of_second = lab.connect_unmarked(&mut module, second)?;
        let tool = attach(&lab, &["--ip", WATCHED], "open connections: following 0 of")?;
        let bound = lab.bind()?;
        module.name_client(bound.local(), first)?;
        lab.marker.assign(bound.local(), &toa_option(first))?;
        let mut of_first = bound.connect(nginx_address())?;
        of_first.ask(Request::get("/"))?;
        of_second.ask(Request::get("/"))?;
        tool.watch("add", &second.ip().to_string())?;
        let learned = wait::until("another look", || {
            let flows = objects(&lab.server.namespace, &["flows", "-o", "json"])?;
            let learned: Vec<_> = flows.iter().map(|flow| flow["toa"]["learned_from"].clone()).collect();
            Ok((learned.len() == 2).then_some(learned))
        })?;
        assert_eq!(learned, ["syn", "existing"]);
        Ok(())
    })
}

#[test]
fn open_connections_that_are_evicted_are_told_of() -> Result<()> {
    let (lab, mut module) = lab()?;
    let _nginx = lab.nginx()?;
    let connect = |port| lab.connect_unmarked(&mut module, client(3, port));
    let _open = (0..400).map(connect).collect::<Result<Vec<_>>>()?;
    wait_until_accepted(&lab, 400)?;
    let tool = attach(&lab, &["--any", "--max-flows", "64"], "400 with a known client")?;
    let line = " evicted in 10 s: the table was full (a larger --max-flows)";
    // Reported once, with no more connections than there were, although further scans follow.
    wait_for(&tool, line)?;
    let said = tool.stop(Signal::Interrupt)?.succeeded()?.stderr;
    let said: Vec<_> = said.lines().filter(|said| said.contains(line)).collect();
    let number = said.last().and_then(|said| said.strip_prefix("toa-tc: at least ")?.split(' ').next());
    assert!(said.len() == 1 && number.context("no number")?.parse::<usize>()? <= 400, "{said:?}");
    Ok(())
}
