//! Responsible for counting. Not responsible for reading counters.

use toa_common::{
    counters::{COUNTER_SLOTS, Counter, CounterValues, OTHER_PAIRS},
    skip_reason::SkipReason,
    wire::toa_pairs::KNOWN_PAIRS,
};

use crate::maps::COUNTERS;

/// This CPU's counters. No lock is needed: nothing else counts on this CPU while a program runs on it.
pub(crate) struct Counters(*mut CounterValues);

impl Counters {
    /// `None` cannot happen; the verifier wants it asked.
    #[inline(always)]
    pub(crate) fn this_cpu() -> Option<Self> {
        COUNTERS.get_ptr_mut(0).map(Self)
    }

    #[inline(always)]
    pub(crate) fn add(&self, counter: Counter, value: u64) {
        self.add_at(counter as u64, value);
    }

    #[inline(always)]
    fn add_at(&self, index: u64, value: u64) {
        // SAFETY: the index is below the array's length, and the pointer came from the map.
        unsafe {
            let slot = self.0.cast::<u64>().add(index as usize);
            *slot = (*slot).wrapping_add(value);
        }
    }

    #[inline(always)]
    pub(crate) fn increment(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts a packet with known options that are not TOA for this run: a bit for each. For the verifier there is
    /// one way: each counter is added to, 0 or 1.
    #[inline(always)]
    pub(crate) fn others(&self, others: u32) {
        for number in 0..KNOWN_PAIRS.len() as u64 {
            self.add_at(OTHER_PAIRS as u64 + number, u64::from(others >> number & 1));
        }
    }

    #[inline(always)]
    pub(crate) fn skipped(&self, reason: SkipReason) {
        // Reasons differ by path, so the compiler computes the index, and the verifier must see its bound.
        self.add_at(below_64(Counter::from(reason) as u64), 1);
    }
}

/// Returns `index`, which is below [`COUNTER_SLOTS`]. In assembly, for the compiler knows it too and would leave
/// out a plain mask, but the verifier does not.
#[inline(always)]
fn below_64(index: u64) -> u64 {
    const { assert!(COUNTER_SLOTS == 64) };
    #[cfg(target_arch = "bpf")]
    {
        let mut bounded = index;
        // SAFETY: arithmetic on one register, no memory.
        unsafe { core::arch::asm!("{0} &= 63", inout(reg) bounded, options(pure, nomem, nostack)) };
        bounded
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        index & 63
    }
}
