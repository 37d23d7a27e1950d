//! Why rings cannot be opened.

use std::io;

use aya::maps::MapError;
use thiserror::Error;

use crate::live::host::privileges::HIGHEST_PARANOID;

/// Why the rings could not be opened.
#[derive(Debug, Error)]
pub enum PerfError {
    /// The number of CPUs could not be read from the map.
    #[error("cannot read the size of the perf event array")]
    Map(#[source] MapError),
    /// The ring size is not a power of two of at least one page.
    #[error("ring size {bytes} is not a power of two of at least {page} bytes (a page)")]
    Size {
        /// The requested size.
        bytes: usize,
        /// The page size.
        page: usize,
    },
    /// A system call failed for one CPU's ring.
    #[error("cannot open the perf ring of CPU {cpu}: {call}")]
    Ring {
        /// The CPU.
        cpu: u32,
        /// The system call.
        call: &'static str,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// The kernel reserves perf events for more privileged users.
    #[error("this user may not open perf events: {}", remedy(*.paranoid))]
    Denied {
        /// `kernel.perf_event_paranoid`, if it can be read.
        paranoid: Option<i64>,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// The epoll descriptor, which reports when to read, could not be set up.
    #[error("cannot wait for the perf rings")]
    Epoll(#[source] io::Error),
}

impl PerfError {
    /// Returns whether the kernel has no perf events.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Ring { source, .. } if source.raw_os_error() == Some(libc::ENOSYS))
    }

    /// Returns whether a ring could not be opened because its CPU is offline.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self, Self::Ring { source, .. } if source.raw_os_error() == Some(libc::ENODEV))
    }
}

/// Returns what lets the user open perf events.
fn remedy(paranoid: Option<i64>) -> String {
    match paranoid {
        Some(paranoid) if paranoid > HIGHEST_PARANOID => format!(
            "kernel.perf_event_paranoid is {paranoid}, which asks for CAP_SYS_ADMIN beside CAP_PERFMON: add it, or \
             set the sysctl to {HIGHEST_PARANOID}"
        ),
        _ => "a seccomp filter or security module forbids perf_event_open".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_the_sysctl() {
        assert!(remedy(Some(3)).contains("kernel.perf_event_paranoid is 3"));
        for paranoid in [Some(2), Some(-1), None] {
            assert!(remedy(paranoid).contains("seccomp"), "{paranoid:?}");
        }
    }
}
