//! The commands, one file each.

pub(crate) mod attach;
mod balancer_table;
pub(crate) mod clients;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod flows;
mod leftovers;
pub(crate) mod read;
pub(crate) mod remember;
pub(crate) mod status;
pub(crate) mod watch;

use anyhow::{Result, bail};
use toa_userspace::live::{host::privileges, runs::Runs};

use crate::cli::pin_dir::PinDirArgs;

/// Finds running instances.
fn find_runs(pins: &PinDirArgs) -> Result<Runs> {
    let directories = pins.directories()?;
    if !privileges::may_open_maps() {
        bail!("only root, or a process with CAP_BPF, can see running instances: use sudo");
    }
    Ok(Runs::find(&directories)?)
}
