//! The description of a run, which `attach` publishes for other processes.

use anyhow::{Context as _, Result};
use toa_common::{
    maps::PINNED,
    run_info::{FORMAT, MAX_INTERFACES, RunInfo, RunInterface, mode},
};
use toa_userspace::live::{
    host::{clock, namespace},
    program::attach::{Attached, Mode, Target},
    runs::pins::Pins,
};

/// The version from cargo: major, minor, patch.
const VERSION: [&str; 3] =
    [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];

/// Publishes the description of this run beside its maps, which have the IDs `map_ids`.
pub(crate) fn publish(
    pins: &Pins,
    map_ids: [u32; PINNED.len()],
    attached: &[(Target, Attached)],
) -> Result<()> {
    let mut interfaces = [RunInterface::EMPTY; MAX_INTERFACES];
    for (interface, (target, attached)) in interfaces.iter_mut().zip(attached) {
        interface.index = target.index();
        interface.mode = match attached.mode {
            Mode::Tcx => mode::TCX,
            Mode::Netlink => mode::NETLINK,
        };
        for (to, from) in interface.name.iter_mut().zip(target.interface().bytes()) {
            *to = from;
        }
    }
    let mut version = [0; 4];
    for (to, from) in version.iter_mut().zip(VERSION) {
        *to = from.parse().unwrap_or(0);
    }
    let identity = pins.identity();
    let count = attached.len().min(MAX_INTERFACES);
    let info = RunInfo {
        format: FORMAT,
        version,
        pid: identity.pid,
        map_ids,
        start_ticks: identity.start_ticks,
        since_ns: clock::monotonic_ns(),
        pid_namespace: identity.pid_namespace,
        network_namespace: namespace::inode("self", "net").context("cannot read /proc/self/ns/net")?,
        interface_count: u32::try_from(count).unwrap_or(0),
        flows_removed_by_others: 0,
        rule_additions: 0,
        interfaces,
    };
    Ok(pins.publish(&info)?)
}
