//! The description of a run, which `attach` publishes for other processes.

use anyhow::Result;
use toa_common::{
    config::Config,
    maps::PINNED,
    run_info::{FORMAT, MAX_INTERFACES, RunInfo, RunInterface, mode, options},
};
use toa_userspace::live::{
    host::{clock, namespace},
    program::{attach::Mode, attachments::Attachment},
    runs::pins::Pins,
};

use super::settings::settings;
use crate::cli::attach::AttachArgs;

/// The version from cargo: major, minor, patch.
const VERSION: [&str; 3] =
    [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];

/// Publishes the description of this run beside its maps, which have the IDs `map_ids`.
pub(crate) fn publish(
    pins: &Pins,
    map_ids: [u32; PINNED.len()],
    attached: &[Attachment],
    args: &AttachArgs,
    config: &Config,
) -> Result<()> {
    let mut version = [0; 4];
    for (to, from) in version.iter_mut().zip(VERSION) {
        *to = from.parse().unwrap_or(0);
    }
    let mut info = RunInfo {
        format: FORMAT,
        version,
        pid: rustix::process::getpid().as_raw_nonzero().get().cast_unsigned(),
        map_ids,
        since_ns: clock::monotonic_ns(),
        // Only shown, and so not needed where there is no `/proc`.
        pid_namespace: namespace::inode("self", "pid").unwrap_or(0),
        network_namespace: namespace::inode("self", "net").unwrap_or(0),
        interface_count: 0,
        flows_removed_by_others: 0,
        rule_additions: 0,
        rule_changes: 0,
        options: if config.follows_any() { options::ANY_FLOW } else { 0 },
        interfaces: [RunInterface::EMPTY; MAX_INTERFACES],
    };
    describe(attached, &mut info);
    Ok(pins.publish(&info, &settings(args, config))?)
}

/// Publishes that the run is attached to these interfaces now. Returns whether that was possible.
pub(crate) fn publish_interfaces(pins: &Pins, attached: &[Attachment]) -> bool {
    // What cannot be published now is published after the next look.
    pins.change_info(|info| describe(attached, info)).unwrap_or(false)
}

/// Writes the interfaces into the description of a run.
fn describe(attached: &[Attachment], info: &mut RunInfo) {
    info.interfaces = [RunInterface::EMPTY; MAX_INTERFACES];
    for (interface, attachment) in info.interfaces.iter_mut().zip(attached) {
        interface.index = attachment.index;
        interface.mode = match attachment.mode() {
            Mode::Tcx => mode::TCX,
            Mode::Netlink => mode::NETLINK,
        };
        for (to, from) in interface.name.iter_mut().zip(attachment.name.bytes()) {
            *to = from;
        }
    }
    let count = attached.len().min(MAX_INTERFACES);
    info.interface_count = u32::try_from(count).unwrap_or(0);
}
