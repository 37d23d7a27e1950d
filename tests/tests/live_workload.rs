//! `flows --existing` says which service, container or pod a server runs in.
#![cfg(feature = "kernel")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, toa_module::ToaModule},
    peers::client::Request,
    tool::toa_tc::ToaTc,
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
