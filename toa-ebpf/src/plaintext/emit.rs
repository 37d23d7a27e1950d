//! Copies plaintext of followed connections to user space, and counts what is bypassed or lost.

use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_F_CURRENT_CPU,
    helpers::generated::{bpf_ktime_get_ns, bpf_perf_event_output, bpf_probe_read_user},
};
use toa_common::{
    counters::{Counter, CounterValues},
    flow::{Flow, flags::PLAINTEXT},
    limits::{MAX_PLAINTEXT_BYTES, PLAINTEXT_BUFFERS},
    plaintext::{PlaintextRecord, Session, flags},
    verifier::black_box,
};

use super::maps::{BUFFERS, Buffer, PLAINTEXT_BYPASS};
use crate::{
    atomic,
    emit::{NO_READER, NO_SLOT, RING_FULL},
    maps::{COUNTERS, EVENTS, FlowRef},
};

/// Copies `len` bytes at `address` of the current process, which it has read from the session's connection, if that is
/// followed. Counts the outcome.
#[inline(always)]
pub(super) fn plaintext(ctx: &impl EbpfContext, session: &Session, address: u64, len: u64) {
    let key = session.key;
    let (Some(flow), Some(counters)) = (FlowRef::find(&key), COUNTERS.get_ptr_mut(0)) else { return };
    let flow = flow.get();
    count(counters, Counter::Plaintext, 1);
    count(counters, Counter::PlaintextBytes, len);
    // SAFETY: user space may replace the window at any time; each value of it is a window.
    let window = unsafe { PLAINTEXT_BYPASS.get(key) };
    let seq = PlaintextRecord::seq(session.offset);
    if window.is_some_and(|window| window.covers(flow.generation, 0, seq, len as u32)) {
        count(counters, Counter::PlaintextBypassed, 1);
        count(counters, Counter::PlaintextBypassedBytes, len);
        return;
    }
    let captured = len.min(MAX_PLAINTEXT_BYTES as u64);
    let (times, bytes) = match copy(ctx, flow, session, address, len as u32, captured, 0) {
        0 => {
            count(counters, Counter::PlaintextEmitted, 1);
            count(counters, Counter::PlaintextEmittedBytes, captured);
            if captured < len {
                count(counters, Counter::PlaintextCut, 1);
                count(counters, Counter::PlaintextCutBytes, len.wrapping_sub(captured));
            }
            return;
        }
        RING_FULL => (Counter::PlaintextLostRingFull, Counter::PlaintextLostRingFullBytes),
        NO_READER | NO_SLOT => (Counter::PlaintextLostNoReader, Counter::PlaintextLostNoReaderBytes),
        _ => (Counter::PlaintextLostOther, Counter::PlaintextLostOtherBytes),
    };
    count(counters, times, 1);
    count(counters, bytes, len);
}

/// Tells user space that nothing follows on the session's connection, if that is followed. If that gets lost, user space
/// waits in vain for a while.
#[inline(always)]
pub(super) fn end(ctx: &impl EbpfContext, session: &Session) {
    let key = session.key;
    if let Some(flow) = FlowRef::find(&key) {
        copy(ctx, flow.get(), session, 0, 0, 0, flags::END);
    }
}

/// Copies a record and `captured` of `len` bytes at `address`. Returns 0 or an error.
#[inline(always)]
fn copy(
    ctx: &impl EbpfContext,
    flow: &Flow,
    session: &Session,
    address: u64,
    len: u32,
    captured: u64,
    more_flags: u16,
) -> i64 {
    let Some(buffer) = take() else { return -1 };
    // SAFETY: the pointer is from the map, and nobody else uses the buffer while it is taken.
    let Buffer { record, bytes, .. } = unsafe { &mut *buffer };
    // SAFETY: the helper has no arguments.
    record.time_ns = unsafe { bpf_ktime_get_ns() };
    record.generation = flow.generation;
    record.attribution.copy_from(&flow.attribution);
    record.offset = session.offset;
    record.len = len;
    record.captured_len = captured as u32;
    record.interface_index = flow.interface_index;
    record.flags = PLAINTEXT | session.flags as u16 | more_flags;
    record.key = session.key;
    // The verifier must see the bound.
    let captured = black_box(captured) & 0x7fff;
    let captured = if captured > MAX_PLAINTEXT_BYTES as u64 { MAX_PLAINTEXT_BYTES as u64 } else { captured };
    // SAFETY: the buffer has room for that many bytes. The helper accepts any address, and fails if nothing is there.
    let mut result =
        unsafe { bpf_probe_read_user(bytes.as_mut_ptr().cast(), captured as u32, address as *const _) };
    if result == 0 {
        // SAFETY: context, map and record are valid arguments of the helper. The bytes follow the record, and it copies
        // both before it returns.
        result = unsafe {
            bpf_perf_event_output(
                ctx.as_ptr(),
                (&raw const EVENTS).cast_mut().cast(),
                u64::from(BPF_F_CURRENT_CPU as u32),
                core::ptr::from_mut(record).cast(),
                captured.wrapping_add(PlaintextRecord::LEN as u64),
            )
        };
    } else {
        result = -1;
    }
    give_back(buffer);
    result
}

/// Takes one of this CPU's buffers: more than one thread may be here at a time, if the kernel preempts the program.
#[inline(always)]
fn take() -> Option<*mut Buffer> {
    for index in 0..PLAINTEXT_BUFFERS {
        if let Some(buffer) = BUFFERS.get_ptr_mut(index) {
            // SAFETY: the pointer is from the map.
            let place = unsafe { &raw mut (*buffer).is_taken };
            if atomic::exchange(place, 1) == 0 {
                return Some(buffer);
            }
        }
    }
    None
}

#[inline(always)]
fn give_back(buffer: *mut Buffer) {
    compiler_fence(Ordering::Release);
    // SAFETY: the pointer is from the map.
    unsafe { (&raw mut (*buffer).is_taken).write_volatile(0) };
}

/// Adds to a counter atomically: a softirq, or another thread, may count on this CPU in between.
#[inline(always)]
fn count(counters: *mut CounterValues, counter: Counter, value: u64) {
    // SAFETY: the index is below the array's length.
    atomic::add(unsafe { counters.cast::<u64>().add(counter as usize) }, value);
}
