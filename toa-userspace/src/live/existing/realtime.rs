//! Real-time priority for a thread that must not be interrupted by others for a few microseconds.

use std::io;

/// The lowest priority of [`libc::SCHED_FIFO`]: before every thread without real-time priority.
const PRIORITY: libc::c_int = 1;

/// While this value lives, the thread has real-time priority, if it is permitted to (`CAP_SYS_NICE`).
///
/// On a busy CPU, a thread that is preempted between duplicating a descriptor and closing the duplicate would hold it
/// while others take their turn: for milliseconds instead of microseconds.
pub(super) struct RealtimeGuard {
    /// The policy to restore.
    policy: libc::c_int,
}

impl RealtimeGuard {
    /// Raises the priority. Returns `None` if the thread has real-time priority already, or is not permitted to have
    /// it.
    pub(super) fn begin() -> Option<Self> {
        // SAFETY: the call takes no pointer; 0 is this thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        let is_ordinary = matches!(policy, libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE);
        (is_ordinary && set(libc::SCHED_FIFO, PRIORITY).is_ok()).then_some(Self { policy })
    }
}

impl Drop for RealtimeGuard {
    fn drop(&mut self) {
        // Lowering the priority is always permitted. The nice value is unchanged.
        let _ = set(self.policy, 0);
    }
}

fn set(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    // SAFETY: a `sched_param` of zeros is valid. It has more fields in some C libraries.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: 0 is this thread, and `parameters` outlives the call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_thread_is_as_before() {
        // SAFETY: the call takes no pointer; 0 is this thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        for before in [libc::SCHED_OTHER, libc::SCHED_BATCH] {
            set(before, 0).unwrap();
            let guard = RealtimeGuard::begin();
            // The policy changes only with `CAP_SYS_NICE`.
            assert_eq!(policy(), if guard.is_some() { libc::SCHED_FIFO } else { before });
            assert!(RealtimeGuard::begin().is_none() || guard.is_none());
            drop(guard);
            assert_eq!(policy(), before);
        }
    }
}
