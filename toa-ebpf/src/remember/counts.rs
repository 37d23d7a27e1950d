//! Counting connections.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use toa_common::remembered::RememberCounts;

/// What was counted. Pinned by user space.
#[btf_map]
static COUNTS: Array<RememberCounts, 1> = Array::new();

/// Counts an accepted connection.
#[inline(always)]
pub(crate) fn accepted() {
    // SAFETY: only the address is computed, of a field of a value in the map.
    add(|counts| unsafe { &raw mut (*counts).accepted });
}

/// Counts a connection whose client was named.
#[inline(always)]
pub(crate) fn named() {
    // SAFETY: as above.
    add(|counts| unsafe { &raw mut (*counts).named });
}

/// Counts a connection that is not examined any further.
#[inline(always)]
pub(crate) fn given_up() {
    // SAFETY: as above.
    add(|counts| unsafe { &raw mut (*counts).given_up });
}

/// Counts a connection whose client could not be kept.
#[inline(always)]
pub(crate) fn failed() {
    // SAFETY: as above.
    add(|counts| unsafe { &raw mut (*counts).failed });
}

/// Increments a counter. Atomically, because several CPUs count, and a softirq may interrupt a program that runs for a
/// process. In assembly, because `core` has no such addition for this target.
#[inline(always)]
fn add(field: impl FnOnce(*mut RememberCounts) -> *mut u64) {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        // SAFETY: the pointer is from the map and valid while the program runs.
        unsafe {
            asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) field(counts), in(reg) 1_u64, options(nostack));
        }
    }
}
