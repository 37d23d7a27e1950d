//! Responsible for the record by which a run tells other processes what it is. Not responsible for where it is
//! kept, nor for believing it.

/// Layout of [`RunInfo`] and of the other maps that a run pins. Changes with any of them.
pub const FORMAT: u32 = 4;

/// Interfaces that a record has room for. A run on more is told of without the others.
pub const MAX_INTERFACES: usize = 64;

/// Maps that a run pins besides its record.
pub const PINNED_MAPS: usize = 5;

/// Bytes of an interface's name, with the final NUL (`IFNAMSIZ` of `linux/if.h`).
pub const INTERFACE_NAME_BYTES: usize = 16;

/// What a run is. It is the only value of the map `INFO`. Integers in host order:
///
/// ```text
///  0 format              4 version (4 × u16)   12 process id         16 ids of the maps (5 × u32)
/// 36 interfaces         40 start, ticks        48 since, ns          56 PID namespace
/// 64 network namespace  72 flows removed       80 rule additions            88 the interfaces, 24 bytes each
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RunInfo {
    /// [`FORMAT`].
    pub format: u32,
    /// The tool's version: major, minor, patch, 0.
    pub version: [u16; 4],
    /// The process, as its own PID namespace numbers it.
    pub pid: u32,
    /// The kernel's ids of the maps in [`crate::maps::PINNED`], so that no other map of the same shape can take a pin's
    /// place.
    pub map_ids: [u32; PINNED_MAPS],
    /// How many of [`Self::interfaces`] mean something.
    pub interface_count: u32,
    /// When the process began, in clock ticks since boot (field 22 of `/proc/PID/stat`): tells it from a later one
    /// with the same number.
    pub start_ticks: u64,
    /// When everything was attached, in nanoseconds of `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// Inode of the process's PID namespace.
    pub pid_namespace: u64,
    /// Inode of the network namespace that the interfaces are in.
    pub network_namespace: u64,
    /// How many followed connections other processes have removed: those that had not ended.
    pub flows_removed_by_others: u64,
    /// How often other processes have added rules.
    pub rule_additions: u64,
    /// What the program is attached to.
    pub interfaces: [RunInterface; MAX_INTERFACES],
}

/// An interface of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RunInterface {
    /// Its index in the network namespace.
    pub index: u32,
    /// One of [`mode`].
    pub mode: u32,
    /// Its name when it was attached to, filled up with NUL.
    pub name: [u8; INTERFACE_NAME_BYTES],
}

/// How a program is attached.
pub mod mode {
    /// By a TCX link.
    pub const TCX: u32 = 1;
    /// By a netlink filter.
    pub const NETLINK: u32 = 2;
}

const _: () = assert!(size_of::<RunInterface>() == 24);
const _: () = assert!(size_of::<RunInfo>() == 88 + 24 * MAX_INTERFACES);

impl RunInterface {
    /// No interface.
    pub const EMPTY: Self = Self { index: 0, mode: 0, name: [0; INTERFACE_NAME_BYTES] };

    /// The name as bytes, without what fills it up.
    pub fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl RunInfo {
    /// The interfaces that mean something.
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
