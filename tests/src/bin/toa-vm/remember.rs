//! A connection whose client `toa-tc remember` has noted.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, mounts, nginx_address},
    tool::{
        commands::objects,
        remember::{client, named, path, remember},
        toa_tc::ToaTc,
    },
};

/// Opens a connection for each habit of a balancer, and checks that its client is named later, and that nothing is left.
pub(crate) fn check() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        for habit in [Habit::Early, Habit::FirstData] {
            note(habit).with_context(|| format!("{habit:?}"))?;
        }
        Ok(())
    })
}

fn note(habit: Habit) -> Result<()> {
    let (mut lab, cgroup) = (Lab::new(habit)?, Cgroup::new()?);
    let namespace = lab.server.namespace.clone();
    remember(&lab, &["--cgroup", path(&cgroup)?])?.succeeded()?;
    let listener = cgroup.run(|| namespace.run(|| Ok(TcpListener::bind(nginx_address())?)))?;
    let client = client(9);
    let mut connection = lab.connect(Some(client))?;
    let (mut accepted, _) = listener.accept()?;
    connection.stream().write_all(b"x")?;
    accepted.read_exact(&mut [0])?;
    let rows = objects(&namespace, &["flows", "--existing", "-o", "json"])?;
    let by = |row: &Value| row.get("named_by").and_then(Value::as_str) == Some("remembered");
    ensure!(rows.iter().map(named).collect::<Vec<_>>() == [Some(client)] && rows.iter().all(by), "{rows:?}");
    ToaTc::run(&namespace, &["forget"])?.succeeded()?;
    let left = mounts::pins()?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
