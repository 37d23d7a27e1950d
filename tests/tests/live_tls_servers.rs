//! `attach --tls` with other servers than nginx: one that reads by `SSL_read_ex`, one that contains the library, and one with
//! `BoringSSL`. The requests of the watched client are those that the server logged, and `doctor` says whether that is possible.
#![cfg(feature = "kernel")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tls_address},
    peers::{
        client::Request,
        tls_client::TlsConnection,
        tls_server::{Kind, TlsServer},
    },
    process::Signal,
    tool::toa_tc::ToaTc,
};
use toa_userspace::live::tls::library;

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";

fn open(lab: &mut Lab, client: &str) -> Result<TlsConnection> {
    let bound = lab.bind()?;
    lab.marker.assign(bound.local(), &toa_option(client.parse::<SocketAddr>()?))?;
    TlsConnection::open(&lab.balancer.namespace, bound, tls_address())
}

/// Returns what `doctor` says of a server.
fn said_of(lab: &Lab, server: &TlsServer) -> Result<String> {
    let said = ToaTc::run(&lab.server.namespace, &["doctor"])?.stdout;
    let process = server.id().to_string();
    let line = said.lines().find(|line| line.contains("tls: ") && line.contains(&process));
    Ok(line.with_context(|| said.clone())?.to_owned())
}

/// Sends requests of both clients in turn, and checks what is printed.
fn check(kind: Kind) -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let server = TlsServer::start(&lab.server.namespace, kind)?;
    let said = said_of(&lab, &server)?;
    ensure!(said.starts_with("ok ") && said.contains(": can be read, in "), "{said}");
    let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "--tls", "-o", "json"])?;
    let mut connections = Vec::new();
    for client in [WATCHED, OTHER, WATCHED, OTHER] {
        connections.push((client, open(&mut lab, client)?));
    }
    for round in 0..20 {
        for (number, (_, connection)) in connections.iter_mut().enumerate() {
            connection.ask(Request::get(&format!("/{number}/{round}")))?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = server.stop()?;

    let mut printed = Vec::new();
    for line in output.stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event.pointer("/event").and_then(Value::as_str) != Some("request") {
            continue;
        }
        let text = |at: &str| event.pointer(at).and_then(Value::as_str).with_context(|| line.to_owned());
        ensure!(text("/client/address")? == "203.0.113.9", "{line}");
        ensure!(event.pointer("/tls") == Some(&Value::Bool(true)), "{line}");
        ensure!(event.pointer("/resynchronized") == Some(&Value::Bool(false)), "{line}");
        let peer = event.pointer("/network/peer/port").and_then(Value::as_u64).context("no port")?;
        let (method, target) = (text("/http/request/method")?, text("/url/original")?);
        printed.push(format!("{peer} {method} {target} HTTP/1.1"));
    }
    let watched = connections.iter().filter(|(client, _)| *client == WATCHED);
    let ports: Vec<_> = watched.map(|(_, it)| format!("{} ", it.local().port())).collect();
    let mut expected: Vec<_> =
        logged.into_iter().filter(|line| ports.iter().any(|port| line.starts_with(port))).collect();
    printed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(expected.len(), 40);
    assert_eq!(printed, expected, "{kind:?}: {}", output.stderr);
    Ok(())
}

#[test]
fn a_server_that_reads_by_ssl_read_ex_is_read() -> Result<()> {
    check(Kind::Python)
}

#[test]
fn a_server_that_contains_the_library_is_read() -> Result<()> {
    check(Kind::Static)
}

#[test]
fn a_server_with_boringssl_is_read() -> Result<()> {
    check(Kind::BoringSsl)
}

/// In a shared library, nothing names the function that does the work of both `SSL_read` and `SSL_read_ex`. Here its symbol does.
#[test]
fn probes_are_at_the_functions_they_are_meant_for() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let server = TlsServer::start(&lab.server.namespace, Kind::Static)?;
    let program = format!("/proc/{}/exe", server.id());
    let symbols = lab.server.namespace.output("nm", &[&program])?;
    let symbols: BTreeMap<_, _> = symbols
        .lines()
        .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [address, _, name] => Some((name, u64::from_str_radix(address, 16).ok()?)),
            _ => None,
        })
        .collect();
    let functions = library::functions(Path::new(&program))?;
    for function in &functions {
        let address = symbols.get(function.name).with_context(|| format!("{function:?}"))?;
        // After instructions that change nothing.
        let passed_over = function.offset.checked_sub(*address);
        ensure!(passed_over.is_some_and(|bytes| bytes <= 7), "{function:x?} is at {address:x}");
    }
    let names: Vec<_> = functions.iter().map(|function| function.name).collect();
    let expected =
        if cfg!(target_arch = "x86_64") { &["ssl_read_internal"][..] } else { &["SSL_read_ex", "SSL_read"] };
    assert_eq!(names, [&["SSL_free", "SSL_set_fd", "SSL_set_rfd"][..], expected].concat());
    Ok(())
}

#[test]
fn a_server_without_symbols_is_refused_and_doctor_says_why() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let server = TlsServer::start(&lab.server.namespace, Kind::Stripped)?;
    let why = "is stripped, and no library with SSL_read is loaded";
    let said = said_of(&lab, &server)?;
    ensure!(said.contains(": cannot be read: its program ") && said.contains(why), "{said}");
    let device = &lab.server;
    let output = ToaTc::run(&device.namespace, &["attach", &device.name, "--tls", "--any"])?;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains(why), "{}", output.stderr);
    Ok(())
}
