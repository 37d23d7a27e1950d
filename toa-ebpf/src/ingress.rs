//! Responsible for one packet's way through the kernel half: inspect, decide, note, stream. Not responsible for
//! how packets are read, decided on or streamed.
//!
//! The way has two parts, which hand over in the scratch map. Each is a function of its own: for the verifier,
//! everything that it knows of how a function went is gone when it returns, so that it looks at the second part
//! once and not for every way through the first. Stack, of 512 bytes for a function and its callers: `RuleKey`
//! 24, and what registers have no room for.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use aya_log_ebpf::debug;
use toa_common::{
    counters::Counter,
    follow::{Action, Decision, Known, LearnedFrom, decide, is_last},
    inspect::{Inspected, inspect},
    limits::LINGER_NS,
    packet::{Link, Packet, TcpPacket},
    segment::{Flow, flags},
    seq::Seq,
    skip_reason::SkipReason,
    wire::{tcp::SYN, toa::Client},
};

use crate::{
    counters::Counters,
    emit::emit,
    maps::{FLOWS, Scratch, TOA_PAIRS, is_watched, scratch},
    skb::{Copied, Linear},
};

/// Makes one number of what was found and decided. Two functions and no `Result`: what the compiler keeps of both
/// in one place, a pointer and a number, the verifier refuses to read as either.
pub trait Report: Copy {
    /// Of a TCP packet.
    fn found(self, inspected: &Inspected, decision: Decision) -> u32;

    /// Of any other.
    fn skipped(self, reason: SkipReason) -> u32;
}

/// Looks at one packet, and passes what was found to `report`. What that returns is for tests; nothing depends
/// on it.
#[inline(always)]
pub fn ingress(ctx: &TcContext, link: Link, report: impl Report) -> u32 {
    let Some(scratch) = scratch() else {
        return 0;
    };
    let mut reason = inspect_linear(ctx, link, scratch);
    if reason == SkipReason::Truncated as u32 && Linear::new(ctx).is_part() {
        reason = inspect_copied(ctx, link, scratch);
    }
    act(ctx, reason, scratch, report)
}

/// Leaves in the scratch what the packet's linear part says, and returns 0 or a [`SkipReason`].
#[inline(never)]
fn inspect_linear(ctx: &TcContext, link: Link, scratch: *mut Scratch) -> u32 {
    inspect_view(&Linear::new(ctx), link, scratch)
}

/// The same for a packet whose headers are not all linear.
#[inline(never)]
fn inspect_copied(ctx: &TcContext, link: Link, scratch: *mut Scratch) -> u32 {
    Copied::new(ctx).map_or(SkipReason::Truncated as u32, |copied| inspect_view(&copied, link, scratch))
}

#[inline(always)]
fn inspect_view<P: Packet>(packet: &P, link: Link, scratch: *mut Scratch) -> u32 {
    match inspect(packet, link, &TOA_PAIRS) {
        Ok(inspected) => {
            // SAFETY: a live map value, which only this program uses now.
            unsafe { (*scratch).inspected.write(inspected) };
            0
        }
        Err(reason) => reason as u32,
    }
}

/// Decides on the packet in the scratch and carries the decision out, or counts why it was skipped.
#[inline(never)]
fn act(ctx: &TcContext, reason: u32, scratch: *mut Scratch, report: impl Report) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    if let Some(reason) = SkipReason::from_code(reason) {
        counters.skipped(reason);
        return report.skipped(reason);
    }
    // SAFETY: a live map value, which only this program uses now, written by the function before.
    let inspected = unsafe { (*scratch).inspected.assume_init_ref() };
    let key = &inspected.tcp.key;
    let flow = FLOWS.get_ptr_mut(key);
    // SAFETY: a pointer from the map, valid while the program runs. Another CPU may write the value at the same
    // time; every field is read by itself and means something by itself.
    let known = flow.map(|flow| unsafe { &*flow }).filter(|flow| !is_over(flow)).map(known);
    let decision = decide(inspected.segment_kind(), inspected.tcp.seq, known, &inspected.toa, is_watched);
    carry_out(ctx, &counters, inspected, decision, flow);
    report.found(inspected, decision)
}

#[inline(always)]
fn known(flow: &Flow) -> Known {
    Known {
        client: Client { address: flow.client_address, port_be: flow.client_port_be },
        provisional: flow.flags & flags::PROVISIONAL != 0,
        first_seq: Seq(flow.first_seq),
    }
}

/// Whether the connection ended so long ago that a packet of its 4-tuple belongs to another one.
#[inline(always)]
fn is_over(flow: &Flow) -> bool {
    flow.ended_ns != 0 && now_ns().saturating_sub(flow.ended_ns) > LINGER_NS
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn carry_out(
    ctx: &TcContext,
    counters: &Counters,
    inspected: &Inspected,
    decision: Decision,
    flow: Option<*mut Flow>,
) {
    let Inspected { tcp, toa, walk } = inspected;
    if toa.is_some() {
        counters.increment(Counter::Toa);
    }
    if walk.others() != 0 {
        counters.others(walk.others());
    }
    if walk.stop().is_malformed() {
        counters.increment(Counter::MalformedOptions);
    }
    if decision.conflict {
        counters.increment(Counter::Conflict);
    }
    let flow = match decision.action {
        Action::Ignore => {
            return counters.increment(if toa.is_some() { Counter::Unwatched } else { Counter::Unmarked });
        }
        Action::End => {
            // Fails when another CPU was faster, which is as good.
            let key = &tcp.key;
            let _ = FLOWS.remove(key);
            return counters.increment(Counter::Forgotten);
        }
        Action::Learn => begin(ctx, counters, inspected),
        Action::Follow | Action::Replace => flow,
    };
    let Some(flow) = flow else {
        return;
    };
    // SAFETY: a pointer from the map, valid while the program runs. Packets of one connection are handled one
    // after the other but for rare steering changes; then a sum may lose a step.
    let flow = unsafe { &mut *flow };
    if decision.action == Action::Replace {
        counters.increment(Counter::Replaced);
        name_client(flow, inspected);
    }
    if decision.conflict {
        flow.flags |= flags::CONFLICT;
    }
    if decision.confirmed {
        flow.flags &= !flags::PROVISIONAL;
    }
    follow(ctx, counters, tcp, flow);
}

/// Begins to follow a connection.
#[inline(always)]
fn begin(ctx: &TcContext, counters: &Counters, inspected: &Inspected) -> Option<*mut Flow> {
    let tcp = &inspected.tcp;
    let key = &tcp.key;
    // SAFETY: a field of a live map value, which only this program uses now.
    let flow = unsafe { &mut (*scratch()?).flow };
    *flow = Flow { generation: now_ns(), first_seq: tcp.seq.0, ..Flow::EMPTY };
    name_client(flow, inspected);
    let flow: &Flow = flow;
    if FLOWS.insert(key, flow, 0).is_err() {
        counters.increment(Counter::FlowInsertFailed);
        return None;
    }
    counters.increment(Counter::Learned);
    // A copy: what is logged by reference must be in memory.
    let port = key.source_port();
    debug!(ctx, "a watched client's connection from port {}", port);
    FLOWS.get_ptr_mut(key)
}

/// Writes down who the client is.
#[inline(always)]
fn name_client(flow: &mut Flow, inspected: &Inspected) {
    let Inspected { toa, walk, .. } = inspected;
    let from = inspected.segment_kind().learned_from();
    flow.client_address = toa.client.address;
    flow.client_port_be = toa.client.port_be;
    flow.toa_kind = toa.kind;
    flow.toa_length = toa.length;
    flow.learned_from = from as u8;
    flow.flags = if from == LearnedFrom::Syn { flags::PROVISIONAL } else { 0 };
    if toa.is_ambiguous() {
        flow.flags |= flags::AMBIGUOUS;
    }
    if walk.has_several() {
        flow.flags |= flags::MULTIPLE;
    }
}

/// Notes a packet of a followed connection, and streams it if it has something to tell: payload, or the
/// beginning or end of the connection.
#[inline(always)]
fn follow(ctx: &TcContext, counters: &Counters, tcp: &TcpPacket, flow: &mut Flow) {
    let now_ns = now_ns();
    flow.last_ns = now_ns;
    flow.packets = flow.packets.wrapping_add(1);
    flow.payload_bytes = flow.payload_bytes.wrapping_add(u64::from(tcp.payload_len));
    if is_last(tcp.flags) && flow.ended_ns == 0 {
        flow.ended_ns = now_ns;
    }
    if tcp.payload_len == 0 && tcp.flags & SYN == 0 && !is_last(tcp.flags) {
        return counters.increment(Counter::Bare);
    }
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
    emit(ctx, counters, tcp, flow, now_ns);
}
