//! Responsible for saying early which rights are missing. Not responsible for getting them.

use caps::{CapSet, Capability};
use thiserror::Error;

/// Rights are missing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "attach needs root or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; {missing} missing: use sudo"
)]
pub struct PrivilegesError {
    missing: String,
}

impl PrivilegesError {
    /// Which, as the subject of a sentence.
    pub fn missing(&self) -> &str {
        &self.missing
    }
}

/// Whether this thread may open pinned maps and look at programs.
pub fn may_open_maps() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    has(Capability::CAP_BPF) || has(Capability::CAP_SYS_ADMIN)
}

/// Fails unless this thread may load, attach and read.
pub fn check() -> Result<(), PrivilegesError> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // What these capabilities were split from still includes them.
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
