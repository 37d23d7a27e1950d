//! The priority of threads.

use log::debug;
use rustix::process::{getpriority_process, setpriority_process};

/// The nice value of threads that must not wait while servers use all CPUs (`setpriority(2)`).
const NICE: i32 = -10;

/// A thread that has a higher priority as long as this lives. Threads that it starts inherit it and keep it.
#[derive(Debug)]
pub struct Raised {
    before: i32,
}

impl Raised {
    /// Raises the priority of this thread. Without the permission for that (`CAP_SYS_NICE`), it stays.
    pub fn raise() -> Self {
        // On Linux, both calls are about this thread only.
        let before = getpriority_process(None).unwrap_or(0);
        if before > NICE
            && let Err(error) = setpriority_process(None, NICE)
        {
            debug!("the reader of the rings has no higher priority: {error}");
        }
        Self { before }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // Lowering it is always permitted.
        let _ = setpriority_process(None, self.before);
    }
}
