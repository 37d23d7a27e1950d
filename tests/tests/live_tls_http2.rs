//! HTTP/2 inside TLS, which clients negotiate by ALPN: the watched client's requests are those that nginx logged.
#![cfg(feature = "kernel")]

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tls_address},
    peers::nginx::{Also, Nginx, Setup},
    process::Signal,
    tool::toa_tc::ToaTc,
};

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";
/// Requests on a connection.
const REQUESTS: usize = 20;

/// Sends requests on one connection of a client.
fn nghttp(lab: &mut Lab, client: &str, name: &str) -> Result<()> {
    let option = toa_option(client.parse::<SocketAddr>()?);
    lab.marker.assign_next([&option[..]])?;
    let urls: Vec<_> =
        (0..REQUESTS).map(|number| format!("https://{}/{name}/{number}", tls_address())).collect();
    let mut arguments = vec!["--null-out", "--timeout=20", "--no-verify-peer", "-H", "x-team: payments"];
    arguments.extend(["-H", "authorization: Bearer hunter2"]);
    arguments.extend(urls.iter().map(String::as_str));
    lab.balancer.namespace.output("nghttp", &arguments).map(drop)
}

#[test]
fn requests_of_http_2_in_tls_are_those_that_the_server_logged() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
    let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "--tls", "-o", "json"])?;
    for round in 0..3 {
        nghttp(&mut lab, WATCHED, &format!("watched-{round}"))?;
        nghttp(&mut lab, OTHER, &format!("other-{round}"))?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let wanted: BTreeSet<_> = logged
        .iter()
        .filter(|logged| logged.request.contains("/watched-"))
        .map(|logged| (logged.peer.port(), logged.request.clone(), logged.team.clone()))
        .collect();
    let mut printed = BTreeSet::new();
    for line in output.stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] != "request" {
            continue;
        }
        let text = |at: &str| event.pointer(at).and_then(Value::as_str).with_context(|| line.to_owned());
        ensure!(event["tls"] == true && event["tls_client"]["alpn"][0] == "h2", "{line}");
        ensure!(event["client"]["address"] == "203.0.113.9" && event["client"]["port"] == 54321, "{line}");
        ensure!(event["resynchronized"] == false && event["unknown_fields"].is_null(), "{line}");
        let request = format!("{} {} HTTP/2.0", text("/http/request/method")?, text("/url/original")?);
        let peer = event["network"]["peer"]["port"].as_u64().context("no port")?;
        let row = (u16::try_from(peer)?, request, text("/http/request/header/x-team/0")?.to_owned());
        ensure!(printed.insert(row), "printed twice: {line}");
    }
    assert_eq!(wanted.len(), 3 * REQUESTS);
    assert_eq!(printed, wanted);
    assert!(output.stdout.contains("Bearer •••") && !output.stdout.contains("hunter2"));
    Ok(())
}
