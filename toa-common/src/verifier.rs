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
