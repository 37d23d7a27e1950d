//! The requests that toa-tc and tshark find in a capture, and how they differ.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use toa_tests::tool::toa_tc;

/// A request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Request {
    /// The client's port.
    port: u16,
    method: String,
    target: String,
    host: Option<String>,
}

/// Separates several requests of one frame in tshark's lines; no target contains it.
const AGGREGATOR: char = '|';

/// Returns the requests that toa-tc finds.
pub(crate) fn of_tool(file: &Path) -> Result<Vec<Request>> {
    let mut command = Command::new(toa_tc::binary()?);
    let lines = output(command.arg("read").arg(file).args(["--any-flow", "-o", "json", "--show-secrets"]))?;
    let mut requests = Vec::new();
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line)?;
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if text("/event").as_deref() != Some("request") {
            continue;
        }
        ensure!(event.get("incomplete").is_some_and(Value::is_null), "bytes are missing: {line}");
        let port = event.pointer("/network/peer/port").and_then(Value::as_u64).context("no port")?;
        requests.push(Request {
            port: port.try_into()?,
            method: text("/http/request/method").context("no method")?,
            target: text("/url/original").context("no target")?,
            host: text("/http/request/header/host/0"),
        });
    }
    Ok(requests)
}

/// Returns the requests that toa-tc finds after tshark has converted the capture to pcapng.
pub(crate) fn of_tool_as_pcapng(file: &Path) -> Result<Vec<Request>> {
    let pcapng = file.with_extension("pcapng");
    output(tshark(file).args(["-F", "pcapng", "-w"]).arg(&pcapng))?;
    of_tool(&pcapng)
}

/// Returns the requests that tshark finds.
pub(crate) fn of_tshark(file: &Path) -> Result<Vec<Request>> {
    let fields = ["tcp.srcport", "http.request.method", "http.request.uri", "http.host"];
    let mut command = tshark(file);
    // Reorders out-of-order segments, as a server does.
    command.args(["-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "http.request", "-T", "fields"]);
    command.args(["-E", &format!("aggregator={AGGREGATOR}")]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let mut requests = Vec::new();
    for line in output(&mut command)?.lines() {
        requests.extend(parse(line).with_context(|| format!("tshark: {line}"))?);
    }
    Ok(requests)
}

fn tshark(file: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file);
    command
}

/// Parses a line of tshark: the requests that one frame completes.
fn parse(line: &str) -> Result<Vec<Request>> {
    let fields: Vec<Vec<&str>> = line
        .split('\t')
        .map(|field| field.split(AGGREGATOR).filter(|value| !value.is_empty()).collect())
        .collect();
    let [ports, methods, targets, hosts] = &fields[..] else { bail!("not four fields") };
    let [port] = ports[..] else { bail!("not one port") };
    ensure!(methods.len() == targets.len(), "methods and targets differ in number");
    // If only some had a host, it would be unknown which.
    ensure!(hosts.len() == methods.len() || hosts.is_empty(), "some have a host and some do not");
    let port = port.parse()?;
    let requests = methods.iter().zip(targets).enumerate().map(|(at, (method, target))| Request {
        port,
        method: (*method).to_owned(),
        target: (*target).to_owned(),
        host: hosts.get(at).map(|host| (*host).to_owned()),
    });
    Ok(requests.collect())
}

/// Runs a command, which must succeed, and returns its output.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the differences, connection by connection and request by request.
pub(crate) fn differences(ours: &[Request], theirs: &[Request]) -> Vec<String> {
    let by_connection = |requests: &[Request]| {
        let mut connections: BTreeMap<u16, Vec<Request>> = BTreeMap::new();
        for request in requests {
            connections.entry(request.port).or_default().push(request.clone());
        }
        connections
    };
    let (ours, theirs) = (by_connection(ours), by_connection(theirs));
    let mut ports: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut differences = Vec::new();
    for port in ports {
        let of = |side: &BTreeMap<u16, Vec<Request>>| side.get(port).cloned().unwrap_or_default();
        let (ours, theirs) = (of(&ours), of(&theirs));
        for at in 0..ours.len().max(theirs.len()) {
            let (one, other) = (ours.get(at), theirs.get(at));
            if one != other {
                differences
                    .push(format!("port {port}, request {}: toa-tc {one:?}, tshark {other:?}", at + 1));
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(port: u16, target: &str, host: Option<&str>) -> Request {
        Request { port, method: "GET".to_owned(), target: target.to_owned(), host: host.map(str::to_owned) }
    }

    #[test]
    fn a_line_of_tshark_has_all_requests_of_a_frame() {
        let two = [request(7, "/1", Some("a")), request(7, "/2", Some("b"))];
        assert_eq!(parse("7\tGET|GET\t/1|/2\ta|b").unwrap(), two);
        assert_eq!(parse("7\tGET\t/1\t").unwrap(), [request(7, "/1", None)]);
        assert!(parse("7\tGET|GET\t/1|/2\ta").is_err() && parse("7\tGET|GET\t/1\ta").is_err());
    }

    #[test]
    fn differences_are_found_by_connection_and_place() {
        let ours = [request(7, "/1", None), request(8, "/2", None), request(7, "/3", None)];
        let same = [ours[1].clone(), ours[0].clone(), ours[2].clone()];
        assert_eq!(differences(&ours, &same), [""; 0]);
        assert_eq!(differences(&ours, &ours[..2]).len(), 1);
        let swapped = [ours[2].clone(), ours[0].clone(), ours[1].clone()];
        assert_eq!(differences(&ours, &swapped).len(), 2);
        let host = [request(7, "/1", Some("a"))];
        assert_eq!(differences(&ours[..1], &host).len(), 1);
    }
}
