//! The commands, one file each.

pub(crate) mod attach;
pub(crate) mod doctor;
pub(crate) mod flows;
pub(crate) mod read;
pub(crate) mod status;
pub(crate) mod watch;

use anyhow::{Result, bail};
use toa_userspace::live::{host::privileges, runs::Runs};

use crate::stderr;

/// Looks for runs, and says what it cleared away.
fn find_runs() -> Result<Runs> {
    if !privileges::may_open_maps() {
        bail!("only root, or a process with CAP_BPF, can see what runs: use sudo");
    }
    let runs = Runs::find()?;
    if runs.swept > 0 {
        stderr::line(format_args!("cleared away what {} killed runs left", runs.swept));
    }
    Ok(runs)
}
