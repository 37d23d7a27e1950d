//! The commands, one file each.

pub(crate) mod attach;
mod balancer_table;
pub(crate) mod clients;
pub(crate) mod completions;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod filter;
pub(crate) mod flows;
pub(crate) mod interfaces;
mod leftovers;
pub(crate) mod man;
pub(crate) mod read;
pub(crate) mod remember;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod watch;

use anyhow::{Result, bail};
use toa_userspace::{
    live::{host::privileges, runs::Runs},
    rule::Rule,
};

use crate::{cli::pin_dir::PinDirArgs, stderr};

/// Finds running instances.
fn find_runs(pins: &PinDirArgs) -> Result<Runs> {
    let directories = pins.directories()?;
    if !privileges::may_open_maps() {
        bail!("only root, or a process with CAP_BPF, can see running instances: use sudo");
    }
    Ok(Runs::find(&directories)?)
}

/// Points out addresses such as `::1:80`, by which an address and a port may be meant.
fn hint_at_ports(rules: &[Rule]) {
    for (rule, meant) in rules.iter().filter_map(|rule| Some((rule, rule.port_in_address()?))) {
        stderr::warning(format_args!(
            "{rule} is an address: for port {} of {}, write {meant}",
            meant.port(),
            meant.ip()
        ));
    }
}
