//! A server whose clients `toa-tc remember` notes, and the runs of its program.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use serde_json::Value;

use crate::{
    lab::{Lab, cgroup::Cgroup, marker::Habit, mounts},
    peers::{client::Connection, nginx::Nginx},
    tool::{
        commands::objects,
        toa_tc::{Output, ToaTc},
    },
};

/// The tests move this process between cgroups, and the program that they count the runs of has one name.
static ALONE: Mutex<()> = Mutex::new(());

/// The program.
const PROGRAM: &str = "toa_remember";

/// A server whose clients are noted, in a cgroup of its own.
pub struct Site {
    /// The lab.
    pub lab: Lab,
    _nginx: Nginx,
    // Last, because nginx is in it.
    /// The server's cgroup.
    pub cgroup: Cgroup,
}

impl Site {
    /// Starts the server, then `remember`.
    pub fn new(habit: Habit) -> Result<Self> {
        let (lab, cgroup) = (Lab::new(habit)?, Cgroup::new()?);
        let nginx = cgroup.run(|| lab.nginx())?;
        remember(&lab, &["--cgroup", path(&cgroup)?])?.succeeded()?;
        Ok(Self { lab, _nginx: nginx, cgroup })
    }

    /// Opens connections of these clients, which the balancer does not mark if there is none.
    pub fn connect(
        &mut self,
        count: u16,
        client: impl Fn(u16) -> Option<SocketAddr>,
    ) -> Result<Vec<Connection>> {
        (0..count).map(|number| self.lab.connect(client(number))).collect()
    }

    /// Returns the rows of `flows --existing`, by the balancer's port.
    pub fn rows(&self) -> Result<BTreeMap<u64, Value>> {
        let rows = objects(&self.lab.server.namespace, &["flows", "--existing", "-o", "json"])?;
        let port = |row: &Value| row.pointer("/network/peer/port").and_then(Value::as_u64).context("no port");
        rows.into_iter().map(|row| Ok((port(&row)?, row))).collect()
    }

    /// Runs `forget`, and returns what it says.
    pub fn forget(&self) -> Result<String> {
        Ok(ToaTc::run(&self.lab.server.namespace, &["forget"])?.succeeded()?.stderr)
    }
}

/// Returns a cgroup's directory.
pub fn path(cgroup: &Cgroup) -> Result<&str> {
    cgroup.path().to_str().context("no text")
}

/// Runs `remember`, in another network namespace than the server's, which makes no difference.
pub fn remember(lab: &Lab, arguments: &[&str]) -> Result<Output> {
    ToaTc::run(&lab.balancer.namespace, &[&["remember"], arguments].concat())
}

/// Runs a test alone, with an empty BPF file system.
pub fn alone(test: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    mounts::with_bpf_file_system(test)
}

/// Returns the client with this number.
pub fn client(number: u16) -> SocketAddr {
    ([203, 0, 113, u8::try_from(number % 250).unwrap_or_default()], 40_000 + number).into()
}

/// Returns how often the program ran while the kernel counted, or `None` if it is not loaded.
pub fn runs() -> Result<Option<u64>> {
    let mut runs = None;
    for program in loaded_programs() {
        let program = program?;
        if program.name_as_str() == Some(PROGRAM) {
            runs = Some(runs.unwrap_or(0) + program.run_count());
        }
    }
    Ok(runs)
}

/// Returns the client that a row or an event names.
pub fn named(row: &Value) -> Option<SocketAddr> {
    let address = row.pointer("/client/address")?.as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, row.pointer("/client/port")?.as_u64()?.try_into().ok()?))
}
