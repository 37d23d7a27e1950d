//! Functions that keep the kernel verifier's work small. They have no effect at run time: each returns its argument.

#[cfg(target_arch = "bpf")]
mod zero {
    use core::cell::UnsafeCell;

    /// A zero in memory that user space could write, so that the verifier assumes any number.
    pub(super) struct Zero(UnsafeCell<u32>);

    // SAFETY: it is never written.
    unsafe impl Sync for Zero {}

    impl Zero {
        #[inline(always)]
        pub(super) fn load(&self) -> u32 {
            // SAFETY: it is initialised and never written.
            unsafe { core::ptr::read_volatile(self.0.get()) }
        }
    }

    pub(super) static ZERO: Zero = Zero(UnsafeCell::new(0));
}

/// Hides `word` from the verifier, which can then merge states that differ only in this value.
#[inline(always)]
pub(crate) fn unknown(word: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        word.wrapping_add(zero::ZERO.load())
    }
    #[cfg(not(target_arch = "bpf"))]
    word
}

/// Returns `value` as a value unknown to the compiler, which then neither folds it nor turns arithmetic on it into
/// branches.
#[inline(always)]
pub fn black_box(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // A move, because without an instruction two line info records would have the same offset, which the kernel
        // rejects.
        // SAFETY: one move on a register.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// Returns `value`, which must be at most `MASK`. The mask shows the bound to the verifier, which does not know it for
/// values loaded from map memory. Assembly applies it, because the compiler removes a mask without effect.
#[inline(always)]
pub fn masked<const MASK: u32>(value: u32) -> usize {
    const { assert!((MASK as usize + 1).is_power_of_two()) };
    #[cfg(target_arch = "bpf")]
    {
        let mut value = u64::from(value);
        // SAFETY: arithmetic on one register, no memory.
        unsafe {
            core::arch::asm!("{0} &= {1}", inout(reg) value, const MASK, options(pure, nomem, nostack));
        }
        value as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        (value & MASK) as usize
    }
}
