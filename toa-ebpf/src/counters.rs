//! Incrementing the counters.

use toa_common::{
    counters::{COUNTER_SLOTS, Counter, CounterValues, UNSELECTED_PAIRS},
    skip_reason::SkipReason,
    verifier::masked,
    wire::toa_pairs::KNOWN_PAIRS,
};

use crate::maps::COUNTERS;

/// This CPU's counters. They need no lock, because nothing else counts on this CPU while the program runs.
pub(crate) struct Counters(*mut CounterValues);

impl Counters {
    /// Returns this CPU's counters. Never `None`; the verifier requires the check.
    #[inline(always)]
    pub(crate) fn this_cpu() -> Option<Self> {
        COUNTERS.get_ptr_mut(0).map(Self)
    }

    #[inline(always)]
    pub(crate) fn add(&self, counter: Counter, value: u64) {
        self.add_at(counter as usize, value);
    }

    #[inline(always)]
    fn add_at(&self, index: usize, value: u64) {
        // SAFETY: the index is below the array's length, and the pointer is from the map.
        unsafe {
            let slot = self.0.cast::<u64>().add(index);
            *slot = (*slot).wrapping_add(value);
        }
    }

    #[inline(always)]
    pub(crate) fn increment(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts a packet with known options that are not TOA for this run. `pairs` has one bit for each. Adds 0 or 1 to
    /// every counter, so that there is one path for the verifier.
    #[inline(always)]
    pub(crate) fn unselected(&self, pairs: u32) {
        for number in 0..KNOWN_PAIRS.len() {
            self.add_at(UNSELECTED_PAIRS + number, u64::from(pairs >> number & 1));
        }
    }

    #[inline(always)]
    pub(crate) fn skipped(&self, reason: SkipReason) {
        const { assert!(COUNTER_SLOTS == 128) };
        // The reason depends on the path, so the index is computed, and the verifier must see its bound.
        self.add_at(masked::<127>(Counter::from(reason) as u32), 1);
    }
}
