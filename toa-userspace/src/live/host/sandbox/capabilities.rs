//! The capabilities that a run keeps.

use std::fs;

use aya::util::KernelVersion;
use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{duties::Duties, error::SandboxError};
use crate::live::host::privileges::{HIGHEST_PARANOID, paranoid};

/// The first kernel on which maps that are open can be used without `CAP_BPF` whatever
/// `kernel.unprivileged_bpf_disabled` is (commit c8644cd0efe7).
const OPEN_MAPS_NEED_NOTHING: KernelVersion = KernelVersion::new(5, 19, 0);

/// Returns the capabilities that every thread keeps.
pub(super) fn of_every_thread() -> CapsHashSet {
    let is_disabled = || {
        let sysctl = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
        sysctl.is_ok_and(|text| text.trim() != "0")
    };
    if KernelVersion::current().is_ok_and(|kernel| kernel >= OPEN_MAPS_NEED_NOTHING) || !is_disabled() {
        return CapsHashSet::new();
    }
    held(&[Capability::CAP_BPF]).unwrap_or_else(admin)
}

/// Lets this process lock as much memory as it wants, if it may, so that it need not keep `CAP_IPC_LOCK` for it.
pub(super) fn unlimit_locked_memory() {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

/// Returns the capabilities that the main thread keeps for these duties.
pub(super) fn of(duties: &Duties) -> CapsHashSet {
    let mut kept = of_every_thread();
    // A ring that is opened later is locked in memory.
    if getrlimit(Resource::Memlock).current.is_some() {
        kept.insert(Capability::CAP_IPC_LOCK);
    }
    // For interfaces that come back or appear, for what runs before our program, and to remove a netlink filter.
    kept.insert(Capability::CAP_NET_ADMIN);
    kept.extend(held(&[Capability::CAP_BPF]).unwrap_or_else(admin));
    if duties.reads_sockets {
        // The first two find and duplicate other processes' descriptors, the fourth makes that quick.
        kept.extend([
            Capability::CAP_SYS_PTRACE,
            Capability::CAP_DAC_READ_SEARCH,
            Capability::CAP_DAC_OVERRIDE,
            Capability::CAP_SYS_NICE,
        ]);
        let loading = held(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        kept.extend(loading.unwrap_or_else(admin));
        if kept.contains(&Capability::CAP_DAC_READ_SEARCH) && has(Capability::CAP_DAC_READ_SEARCH) {
            // It would also permit to write.
            kept.remove(&Capability::CAP_DAC_OVERRIDE);
        }
    }
    kept.retain(|capability| has(*capability));
    kept
}

/// Returns the capabilities for opening perf events.
pub(super) fn of_opener() -> CapsHashSet {
    if paranoid().is_some_and(|paranoid| paranoid > HIGHEST_PARANOID) {
        return admin();
    }
    held(&[Capability::CAP_PERFMON]).unwrap_or_else(admin)
}

/// Returns these capabilities if this thread has all of them.
fn held(capabilities: &[Capability]) -> Option<CapsHashSet> {
    capabilities.iter().all(|it| has(*it)).then(|| capabilities.iter().copied().collect())
}

/// Returns the capability from which others were split, which a user may have in their place.
fn admin() -> CapsHashSet {
    CapsHashSet::from([Capability::CAP_SYS_ADMIN])
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Permitted, capability).unwrap_or(false)
}

/// Drops the others from all sets of this thread, and with `CAP_SETPCAP` all of the bounding set, which matters only to
/// programs that are executed.
pub(super) fn drop_all_but(kept: &CapsHashSet) -> Result<(), SandboxError> {
    let failed = SandboxError::Capabilities;
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    if has(Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability).map_err(failed)?;
        }
    }
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept = permitted.intersection(kept).copied().collect();
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    // A capability must not be effective without being permitted.
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(failed)?;
    }
    Ok(())
}
