//! Checks in advance which capabilities are missing.

use std::fs;

use caps::{CapSet, Capability};
use thiserror::Error;

/// The highest `kernel.perf_event_paranoid` of the mainline kernel, at which `CAP_PERFMON` suffices. Debian and Ubuntu
/// have higher ones, at which only `CAP_SYS_ADMIN` does.
pub(crate) const HIGHEST_PARANOID: i64 = 2;

/// Returns `kernel.perf_event_paranoid`.
pub(crate) fn paranoid() -> Option<i64> {
    fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

/// Why attaching is not permitted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PrivilegesError {
    /// Capabilities are missing.
    #[error(
        "needs root or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; {missing} missing: use sudo"
    )]
    Missing {
        /// Which, with a verb, such as `CAP_BPF is`.
        missing: String,
    },
    /// The capabilities are those of a user namespace, and loading programs takes those of the first one (`bpf_capable` in
    /// `include/linux/capability.h`).
    #[error(
        "this is a user namespace, as in a rootless container, whose capabilities do not extend to eBPF: run toa-tc on \
         the host, as root"
    )]
    UserNamespace,
}

/// Returns whether this thread may open pinned maps and inspect programs.
pub fn may_open_maps() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    has(Capability::CAP_BPF) || has(Capability::CAP_SYS_ADMIN)
}

/// Returns whether this thread may load programs that read the kernel's memory.
pub fn may_read_kernel() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    has(Capability::CAP_BPF) && has(Capability::CAP_PERFMON) || has(Capability::CAP_SYS_ADMIN)
}

/// Fails unless this thread may load and attach programs and read the rings.
pub fn check() -> Result<(), PrivilegesError> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // `CAP_SYS_ADMIN` still includes `CAP_BPF` and `CAP_PERFMON`, which were split from it.
    let is_admin = has(Capability::CAP_SYS_ADMIN);
    let missing: Vec<_> = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON]
        .into_iter()
        .filter(|capability| !(has(*capability) || is_admin && *capability != Capability::CAP_NET_ADMIN))
        .map(|capability| capability.to_string())
        .collect();
    match missing.len() {
        0 if in_user_namespace() => Err(PrivilegesError::UserNamespace),
        0 => Ok(()),
        1 => Err(PrivilegesError::Missing { missing: format!("{} is", missing.join("")) }),
        _ => Err(PrivilegesError::Missing { missing: format!("{} are", missing.join(", ")) }),
    }
}

/// Returns whether this process is in another user namespace than the first one, whose users are all mapped to themselves
/// (`user_namespaces(7)`).
fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}
