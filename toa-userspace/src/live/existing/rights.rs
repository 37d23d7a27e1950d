//! Checks in advance whether the sockets of other processes may be queried.

use std::fs;

use aya::util::KernelVersion;
use caps::{CapSet, Capability};
use thiserror::Error;

/// The first kernel with `pidfd_getfd`.
const PIDFD_GETFD: KernelVersion = KernelVersion::new(5, 6, 0);

/// `YAMA_SCOPE_NO_ATTACH` of `security/yama/yama_lsm.c`.
const NO_ATTACH: &str = "3";

/// cgroup-v1 controllers whose class of a socket is that of the process that last received a descriptor of it
/// (`__receive_sock` of `net/core/sock.c`).
const CLASSES: [&str; 2] = ["net_cls", "net_prio"];

/// Why servers' sockets cannot or should not be queried.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RightsError {
    /// Capabilities are missing.
    #[error(
        "--existing needs root or the capabilities CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; {missing} missing"
    )]
    Capabilities {
        /// The missing ones with a verb, such as `both are`.
        missing: String,
    },
    /// The kernel has no `pidfd_getfd`.
    #[error("--existing needs Linux 5.6 or later (pidfd_getfd)")]
    Kernel,
    /// Yama forbids it to every process.
    #[error("--existing is impossible until the next boot: kernel.yama.ptrace_scope is 3")]
    Yama,
    /// It would change the sockets' cgroup-v1 class.
    #[error(
        "--existing would reset the net_cls/net_prio class of the servers' sockets (cgroup-v1 hierarchy at \
         {mount_point}), by which traffic may be filtered or shaped; --existing=force does it anyway"
    )]
    Classes {
        /// Where the hierarchy is mounted.
        mount_point: String,
    },
}

/// Fails unless servers' sockets can be queried. Without `force`, also fails if that would change their class.
pub fn check(force: bool) -> Result<(), RightsError> {
    if KernelVersion::current().is_ok_and(|version| version < PIDFD_GETFD) {
        return Err(RightsError::Kernel);
    }
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let may_look = has(Capability::CAP_DAC_READ_SEARCH) || has(Capability::CAP_DAC_OVERRIDE);
    match (has(Capability::CAP_SYS_PTRACE), may_look) {
        (true, true) => {}
        (false, true) => return Err(missing("CAP_SYS_PTRACE is")),
        (true, false) => return Err(missing("CAP_DAC_READ_SEARCH is")),
        (false, false) => return Err(missing("both are")),
    }
    // Without Yama the file does not exist.
    if fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() == NO_ATTACH) {
        return Err(RightsError::Yama);
    }
    if force {
        return Ok(());
    }
    // A hierarchy applies to the whole host, whether it is mounted in our mount namespace or in that of process 1.
    let mounts = ["/proc/thread-self/mounts", "/proc/1/mounts"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    match mounts.iter().find_map(|mounts| classes(mounts)) {
        Some(mount_point) => Err(RightsError::Classes { mount_point: mount_point.to_owned() }),
        None => Ok(()),
    }
}

fn missing(which: &str) -> RightsError {
    RightsError::Capabilities { missing: which.to_owned() }
}

/// Returns where a hierarchy of [`CLASSES`] is mounted, from the text of `/proc/mounts`.
fn classes(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let has_classes = options.split(',').any(|option| CLASSES.contains(&option));
        (kind == "cgroup" && has_classes).then_some(point)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_classes_are_found() {
        let without = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                       cgroup2 /sys/fs/cgroup/net_cls cgroup2 rw,net_cls 0 0\n";
        assert_eq!(classes(without), None);
        for options in ["rw,net_cls", "rw,relatime,net_cls,net_prio", "rw,net_prio"] {
            let mounts = format!("{without}cgroup /sys/fs/cgroup/net cgroup {options} 0 0\n");
            assert_eq!(classes(&mounts), Some("/sys/fs/cgroup/net"), "{options}");
        }
    }
}
