//! The memory of this process.

/// Gives memory that is free back to the kernel. The C library keeps what a burst of packets has needed, and its peak would stay
/// the size of a run that lasts for weeks.
pub fn trim() {
    // SAFETY: the call has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
