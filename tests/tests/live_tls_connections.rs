//! `attach --tls --connections`: what is printed of TLS connections that were open before and whose clients only the balancer's
//! table names, from their first event to their last one.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{collections::BTreeMap, fs, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tls_address},
    peers::{
        client::Request,
        http2_client::Http2Connection,
        nginx::{Also, Nginx, Setup},
        tls_client::TlsConnection,
    },
    process::Signal,
    tool::toa_tc::ToaTc,
    wait,
};

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";

fn get(target: &str) -> Request {
    Request::get(target).field("x-team", "payments").field("authorization", "Bearer hunter2")
}

fn open(lab: &Lab) -> Result<TlsConnection> {
    TlsConnection::open(&lab.balancer.namespace, lab.bind()?, tls_address())
}

/// Waits until a run has printed this so often.
fn wait_for(tool: &ToaTc, part: &str, count: usize) -> Result<()> {
    wait::until(part, || Ok((tool.stdout()?.matches(part).count() == count).then_some(())))
        .with_context(|| tool.stdout().unwrap_or_default())
}

/// Returns the events of each connection in order, by the balancer's port, as `open`, the target of a request with its number,
/// and so on.
fn by_port(stdout: &str) -> Result<BTreeMap<u16, Vec<String>>> {
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    let mut found: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for line in stdout.lines() {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(schema.is_valid(&event), "{line}");
        // Where the ClientHello was not seen, it depends on whether packets or plaintext are read first.
        let is_old_tls = event["event"] == "tls" && event["toa"]["learned_from"] == "table";
        if event["event"] == "ledger" || is_old_tls {
            continue;
        }
        let client: SocketAddr = WATCHED.parse()?;
        let expected = json!({"address": client.ip().to_string(), "port": client.port()});
        ensure!(event["client"] == expected && event["server"]["port"] == tls_address().port(), "{line}");
        let connection = &event["connection"];
        let text = match event["event"].as_str() {
            Some("connection") => format!("{} {}", connection["state"], connection["reason"]),
            Some("request") => {
                ensure!(event["tls"] == true, "{line}");
                for mark in ["incomplete", "malformed", "framing_fault", "unknown_fields"] {
                    ensure!(event[mark].is_null(), "{mark}: {line}");
                }
                ensure!(event["http"]["request"]["header"]["x-team"] == json!(["payments"]), "{line}");
                format!("{} {}", connection["request"], event["url"]["original"])
            }
            other => other.unwrap_or_default().to_owned(),
        };
        // The first plaintext may be read before the first packet, which says the interface.
        let is_first = text.starts_with("1 ") || text.starts_with("open") || text == "tls";
        let interface = &event["network"]["interface"]["name"];
        ensure!(interface == "web0" || (is_first && interface.is_null()), "{line}");
        let learned_from = event["toa"]["learned_from"].as_str().context("not learned")?;
        let port = u16::try_from(event["network"]["peer"]["port"].as_u64().context("no port")?)?;
        found.entry(port).or_default().push(format!("{learned_from}: {text}").replace('"', ""));
    }
    Ok(found)
}

#[test]
fn connections_of_the_balancers_table_are_opened_read_and_closed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
    let mut old = [open(&lab)?, open(&lab)?, open(&lab)?];
    let mut http2 = Http2Connection::open(&lab.balancer.namespace, lab.bind()?, tls_address())?;
    for connection in &mut old {
        connection.ask(get("/before"))?;
    }
    http2.ask(get("/before"))?;
    let directory = tempfile::tempdir()?;
    let table = directory.path().join("table.txt");
    // The third one is missing.
    let rows = [(WATCHED, old[0].local()), (OTHER, old[1].local()), (WATCHED, http2.local())];
    let rows = rows.map(|(client, local)| format!("{client} {local}\n"));
    fs::write(&table, rows.concat())?;

    let table = table.to_str().context("no text")?;
    let arguments = ["--ip", "203.0.113.9", "--tls", "--connections", table];
    let text = ToaTc::attach(&lab.server, &arguments)?;
    let tool = ToaTc::attach(&lab.server, &[&arguments[..], &["-o", "json"]].concat())?;
    for tool in [&text, &tool] {
        let following =
            format!("open connections: following 2 of 4 (3 named by {table}; 1 not in the table)\n");
        wait::until("following", || Ok(tool.stderr()?.contains(&following).then_some(())))
            .with_context(|| tool.stderr().unwrap_or_default())?;
    }
    // So that nothing refers to what was sent before.
    http2.empty_table();
    for number in 1..=3 {
        for connection in &mut old {
            connection.ask(get(&format!("/{number}")))?;
        }
        http2.ask(get(&format!("/{number}")))?;
        wait_for(&tool, &format!(r#""original":"/{number}""#), 2)?;
    }
    old[0].pipeline(vec![get("/4"), get("/5")])?;
    // One more, which its mark names, after the beginning of the run.
    lab.marker.assign_next([&toa_option(WATCHED.parse()?)[..]])?;
    let mut new = open(&lab)?;
    new.ask(get("/new"))?;
    let [first, new_port, http2_port] = [old[0].local(), new.local(), http2.local()].map(|it| it.port());
    drop(old);
    drop(new);
    wait_for(&tool, r#""state":"closed","reason":"fin""#, 2)?;
    wait_for(&text, " GET /new ", 1)?;
    let text = text.stop(Signal::Interrupt)?.succeeded()?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    drop(http2);
    println!("{}\n{}", text.stdout, output.stdout);

    let found = by_port(&output.stdout)?;
    let of =
        |from: &str, events: &[&str]| events.iter().map(|it| format!("{from}: {it}")).collect::<Vec<_>>();
    let requests = ["open null", "1 /1", "2 /2", "3 /3", "4 /4", "5 /5", "closed fin"];
    let expected = BTreeMap::from([
        (first, of("table", &requests)),
        (http2_port, of("table", &["open null", "1 /1", "2 /2", "3 /3", "closed finished"])),
        (new_port, of("syn", &["open null", "tls", "1 /new", "closed fin"])),
    ]);
    assert_eq!(found, expected, "{}", output.stdout);
    let ledger: Value = serde_json::from_str(output.stdout.lines().last().context("no ledger")?)?;
    assert_eq!((&ledger["requests"], &ledger["connections"]), (&json!(9), &json!(3)), "{ledger}");
    assert_eq!((&ledger["incomplete"], &ledger["gaps"]["count"]), (&json!(0), &json!(0)), "{ledger}");

    let requests = text.stdout.lines().filter(|line| line.contains(" GET /"));
    assert_eq!(requests.count(), 9, "{}", text.stdout);
    for output in [&text, &output] {
        assert!(!format!("{}{}", output.stdout, output.stderr).contains("not HTTP"), "{}", output.stderr);
        assert!(
            !output.stdout.contains("hunter2") && !output.stdout.contains("/before"),
            "{}",
            output.stdout
        );
    }
    Ok(())
}
