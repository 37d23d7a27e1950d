//! The calls of reading functions that have not returned.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_get_current_pid_tgid,
    macros::map,
    maps::{Array, LruHashMap},
};
use toa_common::{limits::PENDING_CALLS, plaintext::Call};

use crate::atomic::add;

/// The calls, by thread.
#[map]
static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(1, 0);

/// How many calls there are of the threads with an entry. Where it is 0, no lookup is needed. It may be more than there are:
/// not every call returns.
#[map]
static PENDING: Array<u64> = Array::with_max_entries(1, 0);

/// Keeps a call of this thread until it returns.
#[inline(always)]
pub(super) fn begin(call: &Call) {
    let thread = bpf_get_current_pid_tgid();
    if CALLS.insert(thread, call, u64::from(BPF_NOEXIST)).is_ok() {
        if let Some(pending) = PENDING.get_ptr_mut(slot(thread)) {
            add(pending, 1);
        }
    } else {
        // In place of one that has not returned.
        let _ = CALLS.insert(thread, call, u64::from(BPF_ANY));
    }
}

/// Returns this thread's call, if it has one.
#[inline(always)]
pub(super) fn find() -> Option<*mut Call> {
    CALLS.get_ptr_mut(bpf_get_current_pid_tgid())
}

/// Takes this thread's call, if it has one.
#[inline(always)]
pub(super) fn end() -> Option<Call> {
    let thread = bpf_get_current_pid_tgid();
    let pending = PENDING.get_ptr_mut(slot(thread))?;
    // SAFETY: the pointer is from the map. Any CPU may write it at any time, but this thread's call has been counted.
    if unsafe { pending.read_volatile() } == 0 {
        return None;
    }
    // SAFETY: the pointer is from the map, and the entry is this thread's.
    let call = unsafe { *CALLS.get_ptr(thread)? };
    if CALLS.remove(thread).is_ok() {
        add(pending, 1_u64.wrapping_neg());
    }
    Some(call)
}

#[inline(always)]
fn slot(thread: u64) -> u32 {
    thread as u32 & (PENDING_CALLS - 1)
}
