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

/// Reads from memory. The verifier then assumes any value, so states that differ only in it merge; the compiler would
/// keep it in a register.
#[inline(always)]
pub fn load<T: Copy>(place: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::from_ref(place).read_volatile() }
}

/// Writes to memory, for [`load`].
#[inline(always)]
pub fn store<T: Copy>(place: &mut T, value: T) {
    // SAFETY: a reference is valid for writes.
    unsafe { core::ptr::from_mut(place).write_volatile(value) };
}

/// Returns the eight bytes at `at`, which must be at most `MASK`, as a word in native order. In one load: the compiler
/// would make it of eight, because nothing says that `at` is aligned.
#[inline(always)]
pub(crate) fn word<const MASK: u32, const N: usize>(bytes: &[u8; N], at: u32) -> u64 {
    const { assert!(MASK as usize + 8 <= N) };
    // SAFETY: the bound above.
    let place = unsafe { bytes.as_ptr().add(masked::<MASK>(at)) };
    #[cfg(target_arch = "bpf")]
    {
        let word: u64;
        // SAFETY: reads eight bytes of the array; the machines that the program runs on read them at any address.
        unsafe {
            core::arch::asm!("{0} = *(u64 *)({1} + 0)", out(reg) word, in(reg) place, options(pure, readonly, nostack));
        }
        word
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        // SAFETY: eight bytes of the array.
        unsafe { place.cast::<u64>().read_unaligned() }
    }
}

/// Returns 1 if `word` is not 0, and 0 otherwise, by arithmetic: a comparison would be a branch, with twice as many paths to
/// verify.
#[inline(always)]
pub(crate) fn nonzero(word: u64) -> u64 {
    black_box(black_box(word | word.wrapping_neg()) >> 63)
}

/// Returns 1 if `number` is less than `bound`, and 0 otherwise; both must be below 2^63.
#[inline(always)]
pub(crate) fn less(number: u64, bound: u64) -> u64 {
    black_box(black_box(number.wrapping_sub(bound)) >> 63)
}

/// Returns 1 if the two are the same, and 0 otherwise.
#[inline(always)]
pub(crate) fn same(number: u64, other: u64) -> u64 {
    nonzero(number ^ other) ^ 1
}
