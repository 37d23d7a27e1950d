//! Atomic operations on words of maps. Those that return what was there need Linux 5.12.

/// Replaces a word by `value` and returns what it was. The pointer must be from a map.
#[inline(always)]
pub(crate) fn exchange(place: *mut u64, value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: the caller's pointer is to a word of a map.
        unsafe {
            core::arch::asm!("{0} = xchg_64({1} + 0, {0})", inout(reg) value, in(reg) place, options(nostack));
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        // SAFETY: as above. Only for checks on the host: nothing runs there.
        unsafe { place.replace(value) }
    }
}

/// Adds to a word and returns what it was. What other CPUs see is before it or after it in the program's order, too. The
/// pointer must be from a map.
#[inline(always)]
pub(crate) fn fetch_add(place: *mut u64, value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: the caller's pointer is to a word of a map.
        unsafe {
            core::arch::asm!(
                "{0} = atomic_fetch_add((u64 *)({1} + 0), {0})",
                inout(reg) value, in(reg) place, options(nostack),
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        // SAFETY: as above. Only for checks on the host: nothing runs there.
        unsafe { place.replace((*place).wrapping_add(value)) }
    }
}

/// Adds to a word. The pointer must be from a map.
#[inline(always)]
pub(crate) fn add(place: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's pointer is to a word of a map.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) place, in(reg) value, options(nostack));
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as above. Only for checks on the host: nothing runs there.
    unsafe {
        *place = (*place).wrapping_add(value);
    }
}
