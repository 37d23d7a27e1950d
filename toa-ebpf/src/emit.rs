//! Copies packets of followed connections to user space, and counts those that are lost.

use aya_ebpf::{
    EbpfContext as _, bindings::BPF_F_CURRENT_CPU, helpers::generated::bpf_perf_event_output,
    programs::TcContext,
};
use toa_common::{
    counters::Counter,
    record::{MAX_CAPTURED_BYTES, SegmentRecord},
};

use crate::{counters::Counters, maps::EVENTS, scratch::Scratch, skb::Metadata};

/// `-ENOENT`: the map has no ring for this CPU.
const NO_READER: i64 = -2;
/// `-E2BIG`: the map has no slot for this CPU.
const NO_SLOT: i64 = -7;
/// `-ENOSPC`: the ring is full.
const RING_FULL: i64 = -28;

/// Copies the packet in the scratch map to user space and counts the outcome. The sample is a record, whose part about
/// the flow is filled in already, followed by the frame, which the kernel copies from the packet itself.
#[inline(always)]
pub(crate) fn emit(ctx: &TcContext, counters: &Counters, scratch: &mut Scratch, time_ns: u64) {
    let metadata = Metadata::new(ctx);
    let frame_len = ctx.len();
    // The size of a larger sample would wrap at 16 bits, while the helper would still report success.
    const { assert!(MAX_CAPTURED_BYTES + size_of::<SegmentRecord>() <= u16::MAX as usize) };
    let captured_len = frame_len.min(MAX_CAPTURED_BYTES as u32);
    let Scratch { inspected, record, .. } = scratch;
    let tcp = &inspected.tcp;
    // Field by field, because the compiler would build a whole record on the stack first.
    record.time_ns = time_ns;
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

    let payload_len = u64::from(tcp.payload_len);
    let captured_payload = captured_len.saturating_sub(tcp.payload_offset()).min(tcp.payload_len);
    match result {
        0 => {
            counters.increment(Counter::Emitted);
            counters.add(Counter::EmittedBytes, u64::from(captured_payload));
            if captured_payload < tcp.payload_len {
                counters.increment(Counter::Cut);
                counters.add(Counter::CutBytes, u64::from(tcp.payload_len.wrapping_sub(captured_payload)));
            }
        }
        RING_FULL => {
            counters.increment(Counter::LostRingFull);
            counters.add(Counter::LostRingFullBytes, payload_len);
        }
        NO_READER | NO_SLOT => {
            counters.increment(Counter::LostNoReader);
            counters.add(Counter::LostNoReaderBytes, payload_len);
        }
        _ => {
            counters.increment(Counter::LostOther);
            counters.add(Counter::LostOtherBytes, payload_len);
        }
    }
}
