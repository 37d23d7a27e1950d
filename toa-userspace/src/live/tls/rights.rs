//! Checks in advance whether probes may be attached, and processes looked into.

use caps::{CapSet, Capability};
use thiserror::Error;

/// Why probes cannot be attached.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("needs root or CAP_SYS_ADMIN, for uprobes")]
pub struct MissingRights;

/// Fails unless this thread may attach uprobes: `CAP_PERFMON` does not suffice (`perf_uprobe_event_init` of
/// `kernel/events/core.c`).
pub fn check() -> Result<(), MissingRights> {
    if has(Capability::CAP_SYS_ADMIN) { Ok(()) } else { Err(MissingRights) }
}

/// Returns what is missing to look into processes of other users.
pub fn missing_to_look() -> Vec<Capability> {
    let may_read = has(Capability::CAP_DAC_READ_SEARCH) || has(Capability::CAP_DAC_OVERRIDE);
    let needed = [
        (Capability::CAP_SYS_PTRACE, has(Capability::CAP_SYS_PTRACE)),
        (Capability::CAP_DAC_READ_SEARCH, may_read),
    ];
    needed.into_iter().filter(|(_, has)| !has).map(|(capability, _)| capability).collect()
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}
