//! Connections and requests are shown with the service, container or pod that the server runs in.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, toa_module::ToaModule},
    peers::client::Request,
    process::Signal,
    tool::toa_tc::ToaTc,
    wait,
};

#[test]
fn a_server_is_shown_with_its_cgroup() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let cgroup = Cgroup::new()?;
    let nginx = cgroup.run(|| lab.nginx())?;
    let mut connection = lab.connect_unmarked(&mut module, ([203, 0, 113, 9], 40_000).into())?;
    connection.ask(Request::get("/"))?;
    let name = cgroup.path().file_name().and_then(|name| name.to_str()).context("no name")?;

    let json = ToaTc::run(&lab.server.namespace, &["flows", "--existing", "-o", "json"])?.succeeded()?;
    let row: Value = serde_json::from_str(json.stdout.trim())?;
    let path = row.pointer("/process/workload/cgroup").and_then(Value::as_str).context("no cgroup")?;
    ensure!(path.ends_with(&format!("/{name}")), "{row}");
    let text = ToaTc::run(&lab.server.namespace, &["flows", "--existing"])?.succeeded()?;
    ensure!(text.stdout.contains(&format!("{path} ")), "{}", text.stdout);
    drop(nginx);
    Ok(())
}

#[test]
fn a_request_is_printed_with_the_cgroup_of_its_server() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let client = SocketAddr::from(([203, 0, 113, 9], 40_000));
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json"])?;
    // The second server takes the place of the first one, in another cgroup.
    for number in 1..=2_usize {
        let cgroup = Cgroup::new()?;
        let nginx = cgroup.run(|| lab.nginx())?;
        let name = cgroup.path().file_name().and_then(|name| name.to_str()).context("no name")?.to_owned();
        let printed = wait::until("a request with the server's cgroup", || {
            lab.connect(Some(client))?.ask(Request::get("/"))?;
            Ok(tool.stdout()?.lines().find(|line| line.contains(&name)).map(str::to_owned))
        })?;
        let printed: Value = serde_json::from_str(&printed)?;
        let path = printed.pointer("/workload/cgroup").and_then(Value::as_str).context("no cgroup")?;
        ensure!(path.ends_with(&format!("/{name}")), "server {number}: {printed}");
        drop(nginx);
    }
    tool.stop(Signal::Interrupt)?.succeeded()?;
    Ok(())
}
