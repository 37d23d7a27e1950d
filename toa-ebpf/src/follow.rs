//! What is done with a packet of a followed connection.

use aya_ebpf::programs::TcContext;
use toa_common::{
    counters::Counter,
    flow::{Flow, flags},
    flow_key::FlowKey,
    record::SegmentRecord,
    verifier::load,
};

use crate::{
    counters::Counters,
    learn::now_ns,
    maps::FlowRef,
    scratch::{Scratch, due},
    server_socket::fate,
    skb::Metadata,
};

/// Counts a packet of a followed connection. It is to be copied to user space if it has payload, SYN, FIN or RST.
#[inline(always)]
pub(crate) fn follow(ctx: &TcContext, counters: &Counters, scratch: &mut Scratch, flow: &mut Flow) {
    let tcp = &scratch.inspected.tcp;
    let now_ns = now_ns();
    let record = &mut scratch.record;
    let is_current = describe(record, flow, &tcp.key);
    if load(&scratch.fate) == fate::DOUBTFUL {
        counters.increment(Counter::AckOld);
        record.flags |= flags::DOUBTFUL;
    }
    if !is_current {
        return counters.increment(Counter::FlowReused);
    }
    let metadata = Metadata::new(ctx);
    if flow.is_elsewhere(metadata.interface_index(), metadata.vlan_tci()) {
        counters.increment(Counter::OtherInterface);
    }
    if matches!(load(&scratch.fate), fate::READ | fate::DOUBTFUL) {
        flow.flags |= flags::SOCKET_SEEN;
    }
    let is_next = flow.has(flags::NEXT_KNOWN) && tcp.seq.0 == flow.next_seq;
    let change = flow.track(tcp, now_ns);
    if change.ended {
        counters.increment(Counter::Closed);
    }
    if change.reopened {
        counters.increment(Counter::Reopened);
    }
    if change.is_stray {
        counters.increment(Counter::Stray);
        record.flags |= flags::STRAY;
    }
    if change.is_after_end {
        counters.increment(Counter::AfterEnd);
    }
    if tcp.is_pure_ack() {
        return counters.increment(Counter::PureAck);
    }
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
    record.time_ns = now_ns;
    scratch.due = if is_next { due::COPY_NEXT } else { due::COPY };
}

/// Does the same for a packet that [just continues](Flow::is_just_continued_by) its connection and that the server reads, as
/// almost every one does. Beside a busy server the code is rarely in the first-level cache, so the usual packet gets little of it.
#[inline(never)]
pub(crate) fn follow_next(ctx: &TcContext, scratch: &mut Scratch, mut flow: FlowRef) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    let Scratch { inspected, record, due, .. } = scratch;
    let tcp = &inspected.tcp;
    let flow = flow.get_mut();
    let now_ns = now_ns();
    if !describe(record, flow, &tcp.key) {
        counters.increment(Counter::FlowReused);
        return 0;
    }
    let metadata = Metadata::new(ctx);
    if flow.is_elsewhere(metadata.interface_index(), metadata.vlan_tci()) {
        counters.increment(Counter::OtherInterface);
    }
    flow.flags |= flags::SOCKET_SEEN;
    flow.move_on(tcp, now_ns);
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
    record.time_ns = now_ns;
    *due = due::COPY_NEXT;
    0
}

/// Fills in the part of the record about the flow. Returns whether the flow is still that of the connection with this key: the
/// map reuses the entries that it evicts at once, also while a program still has a pointer to one, and writes the new value in
/// any order. But it first removes the entry from its old key, so what was copied before is of this connection if its entry is
/// still there afterwards.
#[inline(always)]
fn describe(record: &mut SegmentRecord, flow: &Flow, key: &FlowKey) -> bool {
    record.generation = flow.generation;
    record.attribution.copy_from(&flow.attribution);
    record.start_seq = flow.start_seq;
    record.flags = flow.flags;
    FlowRef::find(key).is_some_and(|found| found.get().generation == record.generation)
}
