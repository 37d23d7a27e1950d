//! Keeps the kernel verifier's work small. Nothing here does anything at run time: every function returns what it was
//! given.

#[cfg(target_arch = "bpf")]
mod zero {
    use core::cell::UnsafeCell;

    /// A zero in memory that user space could write, so that the verifier takes it for any number.
    pub(super) struct Zero(UnsafeCell<u32>);

    // SAFETY: nothing ever writes it.
    unsafe impl Sync for Zero {}

    impl Zero {
        #[inline(always)]
        pub(super) fn load(&self) -> u32 {
            // SAFETY: initialised, and nothing ever writes it.
            unsafe { core::ptr::read_volatile(self.0.get()) }
        }
    }

    pub(super) static ZERO: Zero = Zero(UnsafeCell::new(0));
}

/// Returns `word` as a value unknown to the verifier, so that states that differ only in it are merged.
#[inline(always)]
pub(crate) fn unknown(word: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        word.wrapping_add(zero::ZERO.load())
    }
    #[cfg(not(target_arch = "bpf"))]
    word
}

/// Returns `value` as one unknown to the compiler, so that it neither folds it nor turns arithmetic into branches.
#[inline(always)]
pub fn black_box(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // A move, because without an instruction two line records would share one place, which the kernel refuses.
        // SAFETY: one move on a register.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// Returns `value`, which is at most `MASK`, in a form whose bound the verifier sees: it forgets the bounds of what was
/// in memory. In assembly, because the compiler drops a mask that it can prove to do nothing.
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
