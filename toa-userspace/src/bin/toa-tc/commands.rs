//! The commands, one file each.

pub(crate) mod attach;
pub(crate) mod doctor;
pub(crate) mod flows;
pub(crate) mod read;
pub(crate) mod status;
pub(crate) mod watch;

use anyhow::{Result, bail};
use toa_userspace::{
    live::{host::privileges, runs::Runs},
    print::count::plural,
};

use crate::stderr;

/// Finds running instances, and reports the pins of dead ones that it removed.
fn find_runs() -> Result<Runs> {
    if !privileges::may_open_maps() {
        bail!("only root, or a process with CAP_BPF, can see running instances: use sudo");
    }
    let runs = Runs::find()?;
    if runs.swept > 0 {
        stderr::line(format_args!("removed the pins of {}", plural(runs.swept, "killed run")));
    }
    Ok(runs)
}
