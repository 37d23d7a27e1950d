//! `attach --tls --existing` with rules that change: a connection's requests are printed while its client is watched, although
//! the server has read from it before.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, tls_address, toa_module::ToaModule},
    peers::{
        client::Request,
        nginx::{Also, Nginx, Setup},
        tls_client::TlsConnection,
    },
    process::Signal,
    tool::toa_tc::ToaTc,
    wait,
};

fn open(lab: &Lab, module: &mut ToaModule, client: SocketAddr) -> Result<TlsConnection> {
    let bound = lab.bind()?;
    module.name_client(bound.local(), client)?;
    let mut connection = TlsConnection::open(&lab.balancer.namespace, bound, tls_address())?;
    connection.ask(Request::get(&format!("/{}/first", client.ip())))?;
    Ok(connection)
}

/// Waits until this many connections are followed.
fn wait_for_flows(lab: &Lab, count: usize) -> Result<()> {
    wait::until("connections to be followed", || {
        let flows = ToaTc::run(&lab.server.namespace, &["flows", "-o", "json"])?.stdout;
        Ok((flows.lines().count() == count).then_some(()))
    })
}

#[test]
fn connections_are_read_while_their_client_is_watched() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let mut module = ToaModule::load(&lab.server.namespace)?;
        let nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
        let [before, after, other] =
            [1, 2, 3].map(|number| SocketAddr::from(([203, 0, 113, number], 40_000)));
        let mut connections = vec![open(&lab, &mut module, before)?];
        let tool = ToaTc::attach(&lab.server, &["--tls", "--existing", "-o", "json"])?;
        connections.push(open(&lab, &mut module, after)?);
        connections.push(open(&lab, &mut module, other)?);
        let mut ask = |name: &str| {
            connections.iter_mut().try_for_each(|it| {
                // More than one, because the first read of an unknown object is another case.
                it.ask(Request::get(&format!("/{name}/1")))?;
                it.ask(Request::get(&format!("/{name}/2")))
            })
        };
        ask("unwatched")?;
        for name in ["watched", "again"] {
            for client in [before, after] {
                tool.watch("add", &client.ip().to_string())?;
            }
            wait_for_flows(&lab, 2)?;
            ask(name)?;
            for client in [before, after] {
                tool.watch("remove", &client.ip().to_string())?;
            }
            wait_for_flows(&lab, 0)?;
            ask("removed")?;
        }
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        nginx.stop()?;

        let mut printed = Vec::new();
        for line in output.stdout.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event.pointer("/event").and_then(Value::as_str) != Some("request") {
                continue;
            }
            ensure!(event.pointer("/tls") == Some(&Value::Bool(true)), "{line}");
            let text = |at: &str| event.pointer(at).and_then(Value::as_str).with_context(|| line.to_owned());
            printed.push(format!("{} {}", text("/client/address")?, text("/url/original")?));
        }
        let mut expected: Vec<_> = [before, after]
            .iter()
            .flat_map(|client| {
                let targets = ["/watched/1", "/watched/2", "/again/1", "/again/2"];
                targets.map(|target| format!("{} {target}", client.ip()))
            })
            .collect();
        printed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(printed, expected, "{}", output.stderr);
        Ok(())
    })
}
