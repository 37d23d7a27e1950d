//! Which connections may have become followed since it was looked. Whoever found that one is not followed need not look again
//! until this says so, which takes no lookup: the kernel turns that of an array into a few instructions.
//!
//! An entry is incremented after a connection was inserted, and read before one is looked up, so no insertion is missed.

use aya_ebpf::{macros::map, maps::Array};
use toa_common::{flow_changes::BY_USER_SPACE, flow_key::FlowKey, limits::FLOW_CHANGES as ENTRIES};

use crate::atomic::{add, fetch_add};

/// How many connections with an entry were inserted. The first one is user space's, for any connection. It is the only one
/// unless plaintext is read.
#[map]
static FLOW_CHANGES: Array<u64> = Array::with_max_entries(1, 0);

/// Returns the entry of a connection.
#[inline(always)]
pub(crate) fn slot(key: &FlowKey) -> u32 {
    let [.., last] = &key.source.0;
    // Balancers are few, their ports are many. The multiplier is that of Fibonacci hashing: 2^32 divided by the golden ratio.
    let mixed = (key.ports ^ last.rotate_left(16)).wrapping_mul(0x9e37_79b9) >> 16;
    (mixed & (ENTRIES - 1)) + 1
}

/// Says that a connection was inserted.
#[inline(always)]
pub(crate) fn record(key: &FlowKey) {
    if let Some(count) = FLOW_CHANGES.get_ptr_mut(slot(key)) {
        // Which kernels before 5.12 also accept in the programs that every run loads.
        add(count, 1);
    }
}

/// Returns a number that is another one after each insertion of a connection with this entry.
#[inline(always)]
pub(crate) fn count(slot: u32) -> u64 {
    sum(slot, |count| {
        // SAFETY: the pointer is from the map. Any CPU may write it at any time.
        unsafe { count.read_volatile() }
    })
}

/// Returns the same number, as it was before what the program does next.
#[inline(always)]
pub(crate) fn count_before(slot: u32) -> u64 {
    sum(slot, |count| fetch_add(count, 0))
}

#[inline(always)]
fn sum(slot: u32, read: impl Fn(*mut u64) -> u64) -> u64 {
    let read = |index| FLOW_CHANGES.get_ptr_mut(index).map_or(0, &read);
    read(slot).wrapping_add(read(BY_USER_SPACE))
}
