//! Copies packets of followed connections to user space, and counts those that are bypassed or lost.

use aya_ebpf::{
    EbpfContext as _, bindings::BPF_F_CURRENT_CPU, helpers::generated::bpf_perf_event_output,
    programs::TcContext,
};
use toa_common::{
    counters::Counter,
    record::{MAX_CAPTURED_BYTES, SegmentRecord},
};

use crate::{
    body::{NOTHING, copied_bytes},
    counters::Counters,
    maps::EVENTS,
    scratch::{Scratch, due},
    skb::Metadata,
};

/// `-ENOENT`: the map has no ring for this CPU.
pub(crate) const NO_READER: i64 = -2;
/// `-E2BIG`: the map has no slot for this CPU.
pub(crate) const NO_SLOT: i64 = -7;
/// `-ENOSPC`: the ring is full.
pub(crate) const RING_FULL: i64 = -28;

/// Copies the packet in the scratch map to user space, unless it is bypassed, and counts the outcome. The sample is a
/// record, whose part about the flow is filled in already, followed by the frame, which the kernel copies from the packet
/// itself. A function of its own for the sake of the stack. Returns 0.
#[inline(never)]
pub(crate) fn emit(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    let is_next = scratch.due == due::COPY_NEXT;
    let copied = copied_bytes(ctx, scratch, is_next);
    let payload_len = scratch.inspected.tcp.payload_len;
    if copied == NOTHING {
        counters.increment(Counter::Bypassed);
        counters.add(Counter::BypassedBytes, u64::from(payload_len));
        return 0;
    }
    let copied = copied.min(payload_len);
    let metadata = Metadata::new(ctx);
    let frame_len = ctx.len();
    // The size of a larger sample would wrap at 16 bits, while the helper would still report success.
    const { assert!(MAX_CAPTURED_BYTES + size_of::<SegmentRecord>() <= u16::MAX as usize) };
    let Scratch { inspected, record, .. } = scratch;
    let tcp = &inspected.tcp;
    let wanted_len = if copied < payload_len { tcp.payload_offset().wrapping_add(copied) } else { frame_len };
    let captured_len = wanted_len.min(MAX_CAPTURED_BYTES as u32);
    // Field by field, because the compiler would build a whole record on the stack first.
    record.frame_len = frame_len;
    record.captured_len = captured_len;
    record.payload_len = tcp.payload_len;
    record.interface_index = metadata.interface_index();
    record.payload_offset = tcp.payload_offset() as u16;
    record.transport_offset = tcp.transport_offset as u8;
    record.vlan_tci = metadata.vlan_tci();
    record.gso_segments = metadata.gso_segments();
    record.network_offset = tcp.network_offset as u8;
    let flags = (u64::from(captured_len) << 32) | u64::from(BPF_F_CURRENT_CPU as u32);
    // SAFETY: context, map and record are valid arguments of the helper, and it copies record and frame before it
    // returns.
    let result = unsafe {
        bpf_perf_event_output(
            ctx.as_ptr(),
            (&raw const EVENTS).cast_mut().cast(),
            flags,
            core::ptr::from_mut(record).cast(),
            SegmentRecord::LEN as u64,
        )
    };

    let spared = payload_len.wrapping_sub(copied);
    if spared != 0 {
        counters.add(Counter::BypassedBytes, u64::from(spared));
    }
    let captured_payload = captured_len.saturating_sub(tcp.payload_offset()).min(copied);
    match result {
        0 => {
            counters.increment(Counter::Emitted);
            counters.add(Counter::EmittedBytes, u64::from(captured_payload));
            if captured_payload < copied {
                counters.increment(Counter::Cut);
                counters.add(Counter::CutBytes, u64::from(copied.wrapping_sub(captured_payload)));
            }
        }
        RING_FULL => {
            counters.increment(Counter::LostRingFull);
            counters.add(Counter::LostRingFullBytes, u64::from(copied));
        }
        NO_READER | NO_SLOT => {
            counters.increment(Counter::LostNoReader);
            counters.add(Counter::LostNoReaderBytes, u64::from(copied));
        }
        _ => {
            counters.increment(Counter::LostOther);
            counters.add(Counter::LostOtherBytes, u64::from(copied));
        }
    }
    0
}
