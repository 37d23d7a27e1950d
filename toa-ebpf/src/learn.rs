//! Beginning to follow a connection.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_ktime_get_ns,
    programs::TcContext,
};
use aya_log_ebpf::debug;
use toa_common::{
    counters::Counter,
    flow::flags::{START_DATA, START_KNOWN},
    verifier::load,
};

use crate::{
    counters::Counters,
    flow_changes,
    maps::{FLOWS, FlowRef, handshakes},
    scratch::Scratch,
    skb::Metadata,
};

/// `-EEXIST`.
const EXISTS: i32 = -17;

/// Returns the time of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper has no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// Counts the flow that is removed or overwritten, unless it had ended.
#[inline(always)]
pub(crate) fn count_replaced(counters: &Counters, flow: Option<FlowRef>) {
    if flow.is_some_and(|flow| flow.get().ended_ns == 0) {
        counters.increment(Counter::ReplacedOpen);
    }
}

/// Remembers the SYN in the scratch map, unless the handshake there outlasts it.
#[inline(always)]
pub(crate) fn remember(counters: &Counters, scratch: &mut Scratch, watched: bool) {
    let Scratch { inspected, handshake, .. } = scratch;
    counters.increment(Counter::Handshakes);
    if handshake.outlasts(inspected) {
        return;
    }
    handshake.syn_seq = inspected.tcp.seq.0;
    handshake.used = 0;
    // Enough to say that no TOA named a watched client: see `Handshake::is_watched`.
    handshake.attribution.learned_from = 0;
    if watched {
        inspected.name(&mut handshake.attribution);
    }
    if !handshakes::remember(&inspected.tcp.key, handshake) {
        counters.increment(Counter::FlowInsertFailed);
    }
}

/// Begins to follow the connection of the packet in the scratch map.
#[inline(always)]
pub(crate) fn learn(
    ctx: &TcContext,
    counters: &Counters,
    scratch: &mut Scratch,
    completed: bool,
    old: Option<FlowRef>,
) -> Option<FlowRef> {
    let Scratch { inspected, flow, handshake, is_joined, .. } = scratch;
    let key = &inspected.tcp.key;
    flow.begin(inspected, completed.then_some(&*handshake), now_ns());
    if load(is_joined) != 0 {
        flow.flags &= !(START_KNOWN | START_DATA);
    }
    let metadata = Metadata::new(ctx);
    flow.interface_index = metadata.interface_index();
    flow.vlan_tci = metadata.vlan_tci();
    // If another CPU learns the connection at the same time, its entry stays.
    let condition = if old.is_some() { BPF_ANY } else { BPF_NOEXIST };
    count_replaced(counters, old);
    match FLOWS.insert(key, flow, u64::from(condition)) {
        Ok(()) => {
            counters.increment(Counter::Learned);
            flow_changes::record(key);
        }
        Err(EXISTS) => {}
        Err(_) => {
            counters.increment(Counter::FlowInsertFailed);
            return None;
        }
    }
    if completed {
        handshakes::mark_used(key);
    }
    // A local copy, because the macro takes a reference to it.
    let port = key.source_port();
    debug!(ctx, "a watched client's connection from port {}", port);
    FlowRef::find(key)
}
