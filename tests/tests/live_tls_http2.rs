//! HTTP/2 inside TLS, which clients negotiate by ALPN: the watched client's requests are those that nginx logged, also
//! with many streams at once; those of connections that were open before are not wrong.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{collections::BTreeMap, fs, net::SocketAddr, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tls_address},
    peers::nginx::{Also, Logged, Nginx, Setup, TLS_PORT},
    process::{Process, Signal},
    tool::toa_tc::{Output, ToaTc},
    wait,
};

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";
/// Requests on a connection.
const REQUESTS: usize = 20;

/// What identifies a request: the balancer's port, method and target, and the team.
type Row = (u16, String, String);

fn lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
    Ok((lab, nginx))
}

fn attach(lab: &Lab) -> Result<ToaTc> {
    ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "--tls", "-o", "json"])
}

fn url(target: &str) -> String {
    format!("https://{}{target}", tls_address())
}

/// Marks the next connections as those of these clients.
fn mark_next(lab: &mut Lab, clients: &[&str]) -> Result<()> {
    let options = clients.iter().map(|client| Ok(toa_option(client.parse()?)));
    let options = options.collect::<Result<Vec<_>>>()?;
    lab.marker.assign_next(options.iter().map(|option| &option[..]))
}

/// Sends requests on one connection of a client.
fn nghttp(lab: &mut Lab, client: &str, name: &str) -> Result<()> {
    mark_next(lab, &[client])?;
    let urls: Vec<_> = (0..REQUESTS).map(|number| url(&format!("/{name}/{number}"))).collect();
    let mut arguments = vec!["--null-out", "--timeout=20", "--no-verify-peer", "-H", "x-team: payments"];
    arguments.extend(["-H", "authorization: Bearer hunter2"]);
    arguments.extend(urls.iter().map(String::as_str));
    lab.balancer.namespace.output("nghttp", &arguments).map(drop)
}

/// Lets h2load send this many requests on each connection, one for each of the clients, many of them at once. No two of a
/// connection have the same target.
fn h2load(lab: &mut Lab, clients: &[&str], each: usize) -> Result<()> {
    mark_next(lab, clients)?;
    let directory = tempfile::Builder::new().prefix("toa-h2load-").tempdir()?;
    let urls = directory.path().join("urls");
    fs::write(&urls, (0..each).map(|number| url(&format!("/load/{number}?q=1")) + "\n").collect::<String>())?;
    let all = (each * clients.len()).to_string();
    let (connections, input) = (clients.len().to_string(), urls.display().to_string());
    let arguments =
        ["-n", &all, "-c", &connections, "-m", "100", "-t", "1", "-i", &input, "-H", "x-team: load"];
    let said = lab.balancer.namespace.output("h2load", &arguments)?;
    ensure!(said.contains(&format!("{all} succeeded")), "{said}");
    Ok(())
}

/// Returns the ports of the connections that were marked as the watched client's.
fn watched_ports(lab: &Lab) -> Result<Vec<u16>> {
    let option = toa_option(WATCHED.parse::<SocketAddr>()?);
    Ok(lab.marker.options()?.into_iter().filter(|(_, it)| *it == option).map(|(port, _)| port).collect())
}

/// Returns the requests that a run has printed.
fn requests(output: &Output) -> Result<Vec<Value>> {
    let events = output.stdout.lines().map(serde_json::from_str::<Value>);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    Ok(events.into_iter().filter(|event| event["event"] == "request").collect())
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"))
}

fn port(request: &Value) -> Result<u16> {
    Ok(u16::try_from(request["network"]["peer"]["port"].as_u64().context("no port")?)?)
}

/// Returns the rows of the watched client's printed requests, which are read from TLS and have no mark.
fn printed_rows(printed: &[Value]) -> Result<Vec<Row>> {
    let row = |event: &Value| {
        ensure!(event["tls"] == true && event["tls_client"]["alpn"][0] == "h2", "{event}");
        ensure!(event["client"]["address"] == "203.0.113.9" && event["client"]["port"] == 54321, "{event}");
        ensure!(event["resynchronized"] == false && event["unknown_fields"].is_null(), "{event}");
        let request = &event["http"]["request"];
        let target = text(&event["url"]["original"])?;
        let request_line = format!("{} {target} HTTP/2.0", text(&request["method"])?);
        Ok((port(event)?, request_line, text(&request["header"]["x-team"][0])?))
    };
    let mut rows = printed.iter().map(row).collect::<Result<Vec<_>>>()?;
    rows.sort_unstable();
    Ok(rows)
}

/// Returns the rows of the watched client's requests that nginx has logged.
fn logged_rows(lab: &Lab, logged: &[Logged]) -> Result<Vec<Row>> {
    let watched = watched_ports(lab)?;
    let logged = logged.iter().filter(|it| watched.contains(&it.peer.port()));
    let mut rows: Vec<_> = logged.map(|it| (it.peer.port(), it.request.clone(), it.team.clone())).collect();
    rows.sort_unstable();
    Ok(rows)
}

#[test]
fn requests_of_http_2_in_tls_are_those_that_the_server_logged() -> Result<()> {
    let (mut lab, nginx) = lab()?;
    let tool = attach(&lab)?;
    for round in 0..3 {
        nghttp(&mut lab, WATCHED, &format!("watched-{round}"))?;
        nghttp(&mut lab, OTHER, &format!("other-{round}"))?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let rows = printed_rows(&requests(&output)?)?;
    assert_eq!(rows, logged_rows(&lab, &nginx.stop()?)?);
    assert_eq!(rows.len(), 3 * REQUESTS);
    assert!(output.stdout.contains("Bearer •••") && !output.stdout.contains("hunter2"));
    assert!(!output.stderr.contains("not HTTP"), "{}", output.stderr);
    Ok(())
}

#[test]
fn thousands_of_streams_at_once_are_told_apart() -> Result<()> {
    let (mut lab, nginx) = lab()?;
    let tool = attach(&lab)?;
    h2load(&mut lab, &[WATCHED, OTHER, WATCHED, OTHER, WATCHED], 3000)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let rows = printed_rows(&requests(&output)?)?;
    let logged = logged_rows(&lab, &nginx.stop()?)?;
    println!("{} requests", rows.len());
    ensure!(rows.len() == 9000, "{}: {}", rows.len(), output.stderr);
    ensure!(rows == logged, "{:?}", rows.iter().zip(&logged).find(|(printed, logged)| printed != logged));
    Ok(())
}

#[test]
fn connections_that_were_open_before_are_read_and_nothing_is_wrong() -> Result<()> {
    let (mut lab, nginx) = lab()?;
    let mut load = lab.balancer.namespace.command("h2load");
    load.args(["-D", "600", "-c", "4", "-m", "3", "-t", "1", "-H", "x-team: load", &url("/load?q=1")]);
    load.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    mark_next(&mut lab, &[WATCHED; 4])?;
    let mut load = Process::new("h2load", load.spawn().context("starting h2load")?);
    wait::until("requests", || Ok((nginx.log()?.len() > 100).then_some(())))?;
    let port = TLS_PORT.to_string();
    let arguments = ["-o", "json", "--any-flow", "--server-port", &port, "--tls"];
    let tool = ToaTc::attach(&lab.server, &arguments)?;
    wait::until("requests", || Ok((tool.stdout()?.lines().count() > 1000).then_some(())))?;
    load.stop(Signal::Terminate)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let printed = requests(&output)?;
    println!("{} requests", printed.len());
    ensure!(printed.len() > 500, "{}: {}", printed.len(), output.stderr);
    let mut connections = BTreeMap::new();
    for request in &printed {
        let header = &request["http"]["request"]["header"];
        ensure!(request["tls"] == true && request["resynchronized"] == true, "{request}");
        ensure!(request["http"]["request"]["method"] == "GET", "{request}");
        let is_known_target = request["url"]["original"] == "/load?q=1";
        ensure!(is_known_target || request["url"]["original"] == "(unknown)", "{request}");
        ensure!(is_known_target || request["unknown_fields"].as_u64() > Some(0), "{request}");
        ensure!(header["x-team"].is_null() || header["x-team"][0] == "load", "{request}");
        // None is left out after the first.
        let stream = request["connection"]["stream"].as_u64().context("no stream")?;
        let last = connections.insert(self::port(request)?, stream);
        ensure!(last.is_none_or(|last| last + 2 == stream), "{last:?}: {request}");
    }
    ensure!(connections.len() == 4, "{connections:?}");
    Ok(())
}
