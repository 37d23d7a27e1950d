//! gRPC's own library as client and server: one request for each call of the watched client, with its path and metadata,
//! whichever way the messages go; straight to the server, and through nginx in cleartext and in TLS.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, SERVER, marker::Habit},
    peers::{
        grpc::{self, CALLS_EACH, Call, Orders},
        nginx::{Also, GRPC_PORT, HTTP2_PORT, Nginx, Setup, TLS_PORT},
    },
    process::Signal,
    tool::toa_tc::ToaTc,
};

const WATCHED: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";

/// Returns the calls that a run has printed, each with everything that its client sent, and without a mark.
fn printed_calls(stdout: &str, is_tls: bool) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for line in stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        if event["event"] != "request" {
            continue;
        }
        ensure!(event["client"]["address"] == "203.0.113.9" && event["client"]["port"] == 54321, "{line}");
        ensure!(event["tls"].as_bool().unwrap_or_default() == is_tls, "{line}");
        ensure!(event["network"]["protocol"]["version"] == "2", "{line}");
        for mark in ["incomplete", "malformed", "framing_fault", "unknown_fields"] {
            ensure!(event[mark].is_null(), "{line}");
        }
        ensure!(event["resynchronized"] == false && event["possibly_unread"] == false, "{line}");
        let request = &event["http"]["request"];
        let header = &request["header"];
        ensure!(request["method"] == "POST" && header["host"][0].is_string(), "{line}");
        ensure!(header["content-type"] == json!(["application/grpc"]), "{line}");
        ensure!(header["te"] == json!(["trailers"]), "{line}");
        ensure!(header["user-agent"][0].as_str().is_some_and(|it| it.starts_with("grpc-python/")), "{line}");
        ensure!(header["trace-bin"] == json!(["AA0K/w", "YWI"]), "{line}");
        let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| line.to_owned());
        let (team, id) = (text(&header["x-team"][0])?, text(&header["x-request-id"][0])?);
        calls.push((text(&event["url"]["original"])?, team, id));
    }
    Ok(calls)
}

/// Lets both clients make their calls, and checks that the watched one's are printed.
fn check(port: u16, arguments: &[&str]) -> Result<()> {
    let is_tls = port == TLS_PORT;
    let also = if is_tls { Also::Tls } else { Also::Http2 };
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let server = Orders::start(&lab.server.namespace)?;
    let nginx = Nginx::start_with(&lab.server.namespace, Setup { also, ..Setup::default() })?;
    let certificate = nginx.certificate();
    let tool = ToaTc::attach(&lab.server, &[&["-o", "json", "--ip", "203.0.113.9"], arguments].concat())?;
    for client in [OTHER, WATCHED, OTHER, WATCHED] {
        lab.marker.assign_next([&toa_option(client.parse::<SocketAddr>()?)[..]])?;
        let address = format!("{SERVER}:{port}");
        grpc::call(&lab.balancer.namespace, &address, client, is_tls.then_some(&certificate))?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let mut printed = printed_calls(&output.stdout, is_tls)?;
    let mut asked: Vec<_> = server.calls()?.into_iter().filter(|(_, team, _)| team == WATCHED).collect();
    printed.sort_unstable();
    asked.sort_unstable();
    ensure!(printed == asked, "printed {printed:#?}, asked {asked:#?}");
    ensure!(printed.len() == 2 * CALLS_EACH, "{}", printed.len());
    let through_nginx = nginx.stop()?.iter().filter(|it| it.team == WATCHED).count();
    ensure!(through_nginx == if port == GRPC_PORT { 0 } else { printed.len() }, "{through_nginx}");
    println!("{} calls to port {port}", printed.len());
    Ok(())
}

#[test]
fn each_call_is_a_request_with_its_path_and_metadata() -> Result<()> {
    check(GRPC_PORT, &[])
}

#[test]
fn calls_through_nginx_are_those_that_the_server_was_asked() -> Result<()> {
    check(HTTP2_PORT, &[])
}

#[test]
fn calls_in_tls_are_those_that_the_server_was_asked() -> Result<()> {
    check(TLS_PORT, &["--tls"])
}
