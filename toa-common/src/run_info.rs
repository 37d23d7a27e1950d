//! The record in which a run describes itself to other processes.

/// Version of what eBPF objects, runs and other processes share: [`RunInfo`], the other maps, records. Changes if any of
/// them changes.
pub const FORMAT: u32 = 10;

/// Maximum number of interfaces of a run. The command line accepts no more.
pub const MAX_INTERFACES: usize = 64;

/// Number of maps that a run pins besides its record.
pub const PINNED_MAPS: usize = 5;

/// Size of an interface's name, in bytes, with the final NUL (`IFNAMSIZ` of `linux/if.h`).
pub const INTERFACE_NAME_BYTES: usize = 16;

/// The description of a run. It is the only value of the map `INFO`. Integers are in host order:
///
/// ```text
///  0 format              4 version (4 × u16)   12 process id         16 ids of the maps (5 × u32)
/// 36 interfaces         40 since, ns           48 PID namespace      56 network namespace
/// 64 flows removed      72 rule additions      80 rule changes       88 options
/// 96 the interfaces, 24 bytes each
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RunInfo {
    /// Version of the layout, [`FORMAT`].
    pub format: u32,
    /// Version of the tool: major, minor, patch, 0.
    pub version: [u16; 4],
    /// Process id in the process's own PID namespace.
    pub pid: u32,
    /// The kernel's ids of the maps in [`crate::maps::PINNED`], so that no other map with the same properties can
    /// replace a pin.
    pub map_ids: [u32; PINNED_MAPS],
    /// Number of valid entries in [`Self::interfaces`].
    pub interface_count: u32,
    /// When the program was attached to all interfaces, in nanoseconds of `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// Inode of the process's PID namespace, or 0 if it is not known.
    pub pid_namespace: u64,
    /// Inode of the network namespace that the interfaces are in, or 0 if it is not known.
    pub network_namespace: u64,
    /// Number of followed connections that other processes have removed before they ended.
    pub flows_removed_by_others: u64,
    /// Number of times that other processes have added rules.
    pub rule_additions: u64,
    /// Number of records that other processes have written into the map `CHANGES`.
    pub rule_changes: u64,
    /// A set of [`options`].
    pub options: u64,
    /// The interfaces that the program is attached to.
    pub interfaces: [RunInterface; MAX_INTERFACES],
}

/// An interface of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RunInterface {
    /// Index in the network namespace.
    pub index: u32,
    /// How the program is attached: one of [`mode`].
    pub mode: u32,
    /// Name at the time of attaching, padded with NUL.
    pub name: [u8; INTERFACE_NAME_BYTES],
}

/// Bits of [`RunInfo::options`].
pub mod options {
    /// The run follows connections whose client nothing names, too, and its rules do not change.
    pub const ANY_FLOW: u64 = 1;
}

/// How a program is attached.
pub mod mode {
    /// By a TCX link.
    pub const TCX: u32 = 1;
    /// By a netlink filter.
    pub const NETLINK: u32 = 2;
}

const _: () = assert!(size_of::<RunInterface>() == 24);
const _: () = assert!(size_of::<RunInfo>() == 96 + 24 * MAX_INTERFACES);

impl RunInterface {
    /// No interface.
    pub const EMPTY: Self = Self { index: 0, mode: 0, name: [0; INTERFACE_NAME_BYTES] };

    /// Returns the name without the padding.
    pub fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl RunInfo {
    /// Returns whether it follows connections whose client nothing names, too.
    pub fn follows_any(&self) -> bool {
        self.options & options::ANY_FLOW != 0
    }

    /// Returns the kernel's id of the map `COUNTERS`, which tells runs apart.
    pub fn counters_id(&self) -> u32 {
        let [.., id] = self.map_ids;
        id
    }

    /// Returns the valid interfaces.
    pub fn interfaces(&self) -> &[RunInterface] {
        let count = (self.interface_count as usize).min(MAX_INTERFACES);
        self.interfaces.get(..count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_before_what_fills_them_up() {
        let mut interface = RunInterface::EMPTY;
        assert_eq!(interface.name(), b"");
        interface.name[..4].copy_from_slice(b"eth0");
        assert_eq!(interface.name(), b"eth0");
        interface.name = [b'x'; INTERFACE_NAME_BYTES];
        assert_eq!(interface.name().len(), INTERFACE_NAME_BYTES);
    }
}
