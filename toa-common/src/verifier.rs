//! Responsible for keeping the kernel verifier's work small. Not responsible for anything at run time: every
//! function returns what it was given.

#[cfg(target_arch = "bpf")]
mod zero {
    use core::cell::UnsafeCell;

    /// A zero that only we know is one: it is in memory that user space could write, so the verifier takes it
    /// for any number.
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

/// Returns `word`, of which the verifier then knows nothing. It follows every value that it can tell apart on
/// its own, so where paths meet again whatever they found, this makes them one.
#[inline(always)]
#[must_use]
pub(crate) fn forget(word: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        word.wrapping_add(zero::ZERO.load())
    }
    #[cfg(not(target_arch = "bpf"))]
    word
}

/// Returns `word`, of which the compiler then knows nothing, so that it makes no branch out of arithmetic.
#[inline(always)]
#[must_use]
pub(crate) fn opaque(word: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut word = u64::from(word);
        // SAFETY: one move on a register.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) word, options(pure, nomem, nostack)) };
        word as u32
    }
    #[cfg(not(target_arch = "bpf"))]
    word
}

/// Returns `value`, which is at most `MASK`, as a number that the verifier knows to be so: it forgets the bounds
/// of what was in memory, and adds to a packet's start nothing that could be large. In assembly, because the
/// compiler leaves out a mask that it can prove to do nothing.
#[inline(always)]
#[must_use]
pub fn bounded<const MASK: u32>(value: u32) -> usize {
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
