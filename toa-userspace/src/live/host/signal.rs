//! What the process that started us decided about signals.

use std::{io, mem, ptr};

/// Returns whether this process ignores a signal. `nohup` starts commands that ignore SIGHUP.
pub fn is_ignored(signal: i32) -> io::Result<bool> {
    // SAFETY: a `sigaction` of zeros is valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: without a new action, the call only writes the current one to `action`.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    if result == 0 { Ok(action.sa_sigaction == libc::SIG_IGN) } else { Err(io::Error::last_os_error()) }
}

/// Ignores a signal from now on.
pub fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: no handler is installed, so none can do anything that it must not.
    let previous = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if previous == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_told_from_others() {
        // The standard library ignores SIGPIPE before `main`.
        assert!(is_ignored(libc::SIGPIPE).unwrap());
        assert!(!is_ignored(libc::SIGSEGV).unwrap());
        assert!(is_ignored(0).is_err());
        ignore(libc::SIGUSR2).unwrap();
        assert!(is_ignored(libc::SIGUSR2).unwrap());
        assert!(ignore(libc::SIGKILL).is_err());
    }
}
