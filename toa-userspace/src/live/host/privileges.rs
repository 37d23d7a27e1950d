//! Checks in advance which capabilities are missing.

use caps::{CapSet, Capability};
use thiserror::Error;

/// Capabilities are missing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "attach needs root or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; {missing} missing: use sudo"
)]
pub struct PrivilegesError {
    missing: String,
}

impl PrivilegesError {
    /// Returns the missing capabilities with a verb, such as `CAP_BPF is`.
    pub fn missing(&self) -> &str {
        &self.missing
    }
}

/// Returns whether this thread may open pinned maps and inspect programs.
pub fn may_open_maps() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    has(Capability::CAP_BPF) || has(Capability::CAP_SYS_ADMIN)
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
        0 => Ok(()),
        1 => Err(PrivilegesError { missing: format!("{} is", missing.join("")) }),
        _ => Err(PrivilegesError { missing: format!("{} are", missing.join(", ")) }),
    }
}
