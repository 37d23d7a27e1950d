//! What a run is configured with: TOA options, balancers, local ports, size of the table.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use toa_packets::toa_option::{port_address_option, toa_option};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, nginx_address},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{commands::succeed, toa_tc::ToaTc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// An option of kind 28 with an address but no port: version 1, IPv4.
const WITHOUT_PORT: [u8; 7] = [28, 7, 1, 203, 0, 113, 9];

/// Opens a connection that is marked with `option` and requests `target`.
fn ask(lab: &mut Lab, option: &[u8], target: &str) -> Result<Connection> {
    let bound = lab.bind()?;
    lab.marker.assign(bound.local(), option)?;
    let mut connection = bound.connect(nginx_address())?;
    connection.ask(Request::get(target))?;
    Ok(connection)
}

/// Returns the requests in JSON Lines.
fn requests(stdout: &str) -> Result<Vec<Value>> {
    let lines = stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(lines.into_iter().filter(|line| line.get("event").is_some_and(|event| event == "request")).collect())
}

/// Sends one request with each kind of option and returns target, kind and client of what is printed, sorted
/// by kind, because two rings keep no order between connections.
fn printed(arguments: &[&str]) -> Result<Vec<(String, u64, Value)>> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &[&["-o", "json"], arguments].concat())?;
    for kind in [254, 200, 222] {
        ask(&mut lab, &port_address_option(kind, CLIENT.into()), &format!("/{kind}"))?;
    }
    ask(&mut lab, &WITHOUT_PORT, "/28")?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let row = |request: Value| {
        let at = |path: &str| request.pointer(path).with_context(|| format!("no {path}"));
        let target = at("/url/original")?.as_str().context("no text")?.to_owned();
        Ok((target, at("/toa/kind")?.as_u64().context("no number")?, at("/client")?.clone()))
    };
    let mut rows = requests(&output.stdout)?.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    rows.sort_by_key(|(_, kind, _)| *kind);
    Ok(rows)
}

#[test]
fn toa_says_which_options_name_a_client() -> Result<()> {
    let with_port = serde_json::json!({ "address": "203.0.113.9", "port": 54321 });
    let row = |kind: u64| (format!("/{kind}"), kind, with_port.clone());
    assert_eq!(printed(&["--any"])?, [row(254)]);
    assert_eq!(printed(&["--any", "--toa", "tencent"])?, [row(200)]);
    assert_eq!(printed(&["--any", "--toa", "lvs", "--toa", "222:8"])?, [row(200), row(222), row(254)]);
    Ok(())
}

#[test]
fn a_client_without_a_port_is_watched_by_its_address_and_by_no_port() -> Result<()> {
    let without = serde_json::json!({ "address": "203.0.113.9", "port": null });
    let expected = [("/28".to_owned(), 28, without)];
    assert_eq!(printed(&["--ip", "203.0.113.9", "--toa", "akamai"])?, expected);
    assert_eq!(printed(&["--ip", "203.0.113.0/24", "--toa", "akamai"])?, expected);
    assert_eq!(printed(&["--ip", "203.0.113.9:0", "--port", "0", "--toa", "akamai"])?, []);
    assert_eq!(printed(&["--ip", ":0", "--toa", "akamai"])?, []);
    Ok(())
}

#[test]
fn an_address_alone_is_a_client_of_any_kind() -> Result<()> {
    let options: [(&[u8], &str, &str); 3] = [
        (&[28, 6, 203, 0, 113, 9], "28:6", "203.0.113.9"),
        (&[28, 18, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], "28:18", "2001:db8::7"),
        (&[222, 6, 203, 0, 113, 10], "222:6", "203.0.113.10"),
    ];
    for habit in [Habit::SynAndEarly, Habit::Early, Habit::FirstData] {
        let mut lab = Lab::new(habit)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["-o", "json", "--any", "--toa", "F5", "--toa", "0xde:6"])?;
        for (option, target, _) in options {
            ask(&mut lab, option, &format!("/{target}"))?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let requests = requests(&output.stdout)?;
        assert_eq!(requests.len(), options.len(), "{habit:?}: {}", output.stdout);
        for (_, target, address) in options {
            let is_at =
                |request: &&Value| request.pointer("/url/original") == Some(&format!("/{target}").into());
            let request = requests.iter().find(is_at).context("no request")?;
            let client = serde_json::json!({ "address": address, "port": null });
            let (kind, length) = target.split_once(':').context("no pair")?;
            assert_eq!(request.pointer("/client"), Some(&client), "{habit:?}: {target}");
            assert_eq!(
                request.pointer("/toa/kind"),
                Some(&kind.parse::<u64>()?.into()),
                "{habit:?}: {target}"
            );
            assert_eq!(request.pointer("/toa/length"), Some(&length.parse::<u64>()?.into()), "{habit:?}");
        }
    }
    Ok(())
}

/// Returns a counter of the running attach.
fn counter(lab: &Lab, name: &str) -> Result<u64> {
    let status: Value = serde_json::from_str(&succeed(&lab.server.namespace, &["status", "-o", "json"])?)?;
    let count = status.pointer(&format!("/runs/0/counters/{name}")).and_then(Value::as_u64);
    count.with_context(|| format!("no counter {name}: {status}"))
}

#[test]
fn server_port_leaves_other_ports_alone() -> Result<()> {
    for (port, is_printed) in [("80", true), ("81", false)] {
        mounts::with_bpf_file_system(|| {
            let mut lab = Lab::new(Habit::SynAndEarly)?;
            let _nginx = lab.nginx()?;
            let tool = ToaTc::attach(&lab.server, &["--any", "--server-port", port, "--server-port", "9"])?;
            ask(&mut lab, &toa_option(CLIENT.into()), "/")?;
            let others = counter(&lab, "other_port")?;
            assert_eq!(others == 0, is_printed, "{others} packets to other ports");
            let output = tool.stop(Signal::Interrupt)?.succeeded()?;
            assert_eq!(output.requests()?.len(), usize::from(is_printed));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn toa_from_no_balancer_is_not_believed_and_said_once() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--any", "--lb", "10.9.0.9", "--lb", "192.0.2.0/24"])?;
        for number in 0..3 {
            ask(&mut lab, &toa_option(CLIENT.into()), &format!("/{number}"))?;
        }
        let line = "ignoring TOA from 10.9.0.1: not listed with --lb";
        wait::until("the line", || Ok(tool.stderr()?.contains(line).then_some(())))?;
        assert!(counter(&lab, "untrusted")? >= 3);
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(output.requests()?, []);
        assert_eq!(output.stderr.matches(line).count(), 1, "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn toa_from_a_balancer_is_believed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any", "--lb", "10.9.0.0/24"])?;
    ask(&mut lab, &toa_option(CLIENT.into()), "/")?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1);
    assert!(!output.stderr.contains("ignoring TOA"), "{}", output.stderr);
    Ok(())
}

#[test]
fn open_connections_that_are_evicted_are_told_of() -> Result<()> {
    check_evictions(false)
}

#[test]
fn open_connections_that_are_evicted_are_told_of_even_if_the_pins_were_removed() -> Result<()> {
    check_evictions(true)
}

fn check_evictions(removes_pins: bool) -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--any", "--max-flows", "64"])?;
        if removes_pins {
            let pins = mounts::pins()?.into_iter().filter(|pin| pin.is_file()).collect::<Vec<_>>();
            assert!(pins.iter().any(|pin| pin.ends_with("INFO")), "{pins:?}");
            pins.iter().try_for_each(std::fs::remove_file)?;
        }
        let connect = |number: u16| -> Result<Connection> {
            let client = SocketAddr::from(([203, 0, 113, 9], 10_000 + number));
            ask(&mut lab, &toa_option(client), "/")
        };
        let connections = (0..400).map(connect).collect::<Result<Vec<_>>>()?;
        let line = " evicted in 10 s: the table was full (a larger --max-flows)";
        wait::until("the line", || Ok(tool.stderr()?.contains(line).then_some(())))?;
        // The reported number never exceeds that of open connections.
        let stderr = tool.stderr()?;
        let said =
            stderr.lines().find_map(|said| said.strip_prefix("toa-tc: at least ")).context("no line")?;
        let said: usize = said.split(' ').next().context("no number")?.parse()?;
        assert!((1..=connections.len()).contains(&said), "{said}");
        tool.stop(Signal::Interrupt)?.succeeded()?;
        Ok(())
    })
}
