//! Responsible for a thread that is not to be interrupted by others for a few microseconds. Not responsible for what it
//! does in them.

use std::io;

/// The lowest priority of [`libc::SCHED_FIFO`]: before every thread that is not of real time.
const PRIORITY: libc::c_int = 1;

/// While it lives, this thread runs before all that are not of real time, if it has the right to (`CAP_SYS_NICE`).
///
/// On a busy CPU, a thread that loses it between getting a duplicate of a descriptor and closing it would hold that for
/// as long as others have their turn: milliseconds, for what takes microseconds.
pub(super) struct RealtimeGuard {
    /// The policy to go back to.
    policy: libc::c_int,
}

impl RealtimeGuard {
    /// Begins. `None` if the thread is one of real time already, or may not become one.
    pub(super) fn begin() -> Option<Self> {
        // SAFETY: 0 is this thread; no pointer.
        let policy = unsafe { libc::sched_getscheduler(0) };
        let is_ordinary = matches!(policy, libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE);
        (is_ordinary && set(libc::SCHED_FIFO, PRIORITY).is_ok()).then_some(Self { policy })
    }
}

impl Drop for RealtimeGuard {
    fn drop(&mut self) {
        // Less is always allowed. Its niceness is as it was.
        let _ = set(self.policy, 0);
    }
}

fn set(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid `sched_param`, which has more fields on some C libraries.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: 0 is this thread; the parameters live during the call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_thread_is_as_before() {
        // SAFETY: 0 is this thread; no pointer.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        for before in [libc::SCHED_OTHER, libc::SCHED_BATCH] {
            set(before, 0).unwrap();
            let guard = RealtimeGuard::begin();
            // Only with the right to.
            assert_eq!(policy(), if guard.is_some() { libc::SCHED_FIFO } else { before });
            assert!(RealtimeGuard::begin().is_none() || guard.is_none());
            drop(guard);
            assert_eq!(policy(), before);
        }
    }
}
