//! Responsible for one packet's way through the kernel half: inspect, decide, note, stream. Not responsible for
//! how packets are read, decided on or streamed.
//!
//! What almost every packet needs stands in the program itself: headers, and one look at the followed connections.
//! Only the others go on to functions of their own, to which the packet is handed over in the scratch map. For the
//! verifier, everything that it knows of how a function went is gone when it returns, so that it looks at the next
//! one once and not for every way through the one before. Stack, of 512 bytes for a function and its callers:
//! `TcpPacket` 64, `RuleKey` 24, `PrefixKey` 24, and what registers have no room for.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use aya_log_ebpf::debug;
use toa_common::{
    counters::Counter,
    flow::Flow,
    follow::{Action, Decision, decide},
    inspect::{Inspected, find_toa, has_options, headers},
    skip_reason::SkipReason,
    tcp_packet::TcpPacket,
    wire::{
        toa::Toa,
        view::{Link, Packet},
    },
};

use crate::{
    counters::Counters,
    emit::emit,
    maps::{CONFIG, FLOWS, Scratch, is_skipped, is_trusted, is_watched, scratch},
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
    let packet = Linear::new(ctx);
    match headers(&packet, link, &CONFIG) {
        Ok(tcp) if !has_options(&packet, &tcp) => plain(ctx, tcp, report),
        Ok(tcp) => {
            let Some(scratch) = scratch() else {
                return 0;
            };
            // SAFETY: a live map value, which only this program uses now.
            unsafe { (*scratch).inspected.tcp = tcp };
            with_options(ctx, scratch, walk_linear, report)
        }
        Err(SkipReason::Truncated) if packet.is_part() => {
            let Some(scratch) = scratch() else {
                return 0;
            };
            match SkipReason::from_code(headers_copied(ctx, link, scratch)) {
                Some(reason) => skip(reason, report),
                None => with_options(ctx, scratch, walk_copied, report),
            }
        }
        Err(reason) => skip(reason, report),
    }
}

/// Leaves in the scratch the headers of a packet that are not all linear, and returns 0 or the code of a
/// [`SkipReason`].
#[inline(never)]
fn headers_copied(ctx: &TcContext, link: Link, scratch: *mut Scratch) -> u32 {
    let Some(packet) = Copied::new(ctx, scratch) else {
        return SkipReason::Truncated as u32;
    };
    match headers(&packet, link, &CONFIG) {
        Ok(tcp) => {
            // SAFETY: a live map value, which only this program uses now.
            unsafe { (*scratch).inspected.tcp = tcp };
            0
        }
        Err(reason) => reason as u32,
    }
}

#[inline(always)]
fn skip(reason: SkipReason, report: impl Report) -> u32 {
    if let Some(counters) = Counters::this_cpu() {
        counters.skipped(reason);
    }
    report.skipped(reason)
}

/// Looks up the connection of a packet without options. If it is not followed, that was it, for almost every packet.
#[inline(always)]
fn plain(ctx: &TcContext, tcp: TcpPacket, report: impl Report) -> u32 {
    let key = &tcp.key;
    let Some(flow) = FLOWS.get_ptr_mut(key) else {
        return unmarked(&Inspected::plain(tcp), report);
    };
    let Some(scratch) = scratch() else {
        return 0;
    };
    // SAFETY: a live map value, which only this program uses now.
    unsafe { (*scratch).inspected = Inspected::plain(tcp) };
    act(ctx, scratch, Some(flow), report)
}

/// Walks the options of a packet and looks up its connection. If it is not followed and its options are nothing to
/// tell of, that was it.
#[inline(always)]
fn with_options(
    ctx: &TcContext,
    scratch: *mut Scratch,
    walk: impl FnOnce(&TcContext, *mut Scratch) -> u32,
    report: impl Report,
) -> u32 {
    let found = walk(ctx, scratch);
    // SAFETY: a live map value, which only this program uses now.
    let inspected = unsafe { &(*scratch).inspected };
    let key = &inspected.tcp.key;
    let flow = FLOWS.get_ptr_mut(key);
    if flow.is_none() && found == 0 { unmarked(inspected, report) } else { act(ctx, scratch, flow, report) }
}

/// Counts a packet that nobody asks for.
#[inline(always)]
fn unmarked(inspected: &Inspected, report: impl Report) -> u32 {
    if let Some(counters) = Counters::this_cpu() {
        counters.increment(Counter::Unmarked);
    }
    report.found(inspected, Action::Ignore.into())
}

/// Walks the options of the packet in the scratch, and leaves there what was found. Whether that is anything to tell
/// of is what this returns.
#[inline(never)]
fn walk_linear(ctx: &TcContext, scratch: *mut Scratch) -> u32 {
    walk(&Linear::new(ctx), scratch)
}

/// The same for a packet whose headers were copied to the scratch.
#[inline(never)]
fn walk_copied(ctx: &TcContext, scratch: *mut Scratch) -> u32 {
    walk(&Copied::again(ctx, scratch), scratch)
}

#[inline(always)]
fn walk<P: Packet>(packet: &P, scratch: *mut Scratch) -> u32 {
    // SAFETY: a live map value, which only this program uses now, written by the caller.
    let inspected = unsafe { &mut (*scratch).inspected };
    let (toa, walk) = find_toa(packet, &inspected.tcp, &CONFIG);
    inspected.toa = toa;
    inspected.walk = walk;
    u32::from(toa.is_some() || walk.others() != 0 || walk.stop().is_malformed())
}

/// Decides on the packet in the scratch and carries the decision out.
#[inline(never)]
fn act(ctx: &TcContext, scratch: *mut Scratch, flow: Option<*mut Flow>, report: impl Report) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    // SAFETY: a live map value, which only this program uses now, written by the caller.
    let inspected = unsafe { &mut (*scratch).inspected };
    if inspected.toa.is_some() {
        counters.increment(Counter::Toa);
        if !is_trusted(&inspected.tcp.key.source) {
            counters.increment(Counter::Untrusted);
            inspected.toa = Toa::none();
        }
    }
    // SAFETY: a pointer from the map, valid while the program runs. Another CPU may write the value at the same
    // time; every field is read by itself and means something by itself.
    let known = flow.map(|flow| unsafe { &*flow }).filter(|flow| !flow.is_over(now_ns)).map(Flow::known);
    let decision = decide(inspected.segment_kind(), inspected.tcp.seq, known, &inspected.toa, is_watched);
    carry_out(ctx, &counters, scratch, decision, flow);
    report.found(inspected, decision)
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
    scratch: *mut Scratch,
    decision: Decision,
    flow: Option<*mut Flow>,
) {
    // SAFETY: a field of a live map value, which only this program uses now, written before.
    let inspected = unsafe { &(*scratch).inspected };
    let Inspected { tcp, toa, walk } = inspected;
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
            supersede(counters, flow);
            // Fails when another CPU was faster, which is as good.
            let key = &tcp.key;
            let _ = FLOWS.remove(key);
            return counters.increment(Counter::Forgotten);
        }
        Action::Learn => {
            supersede(counters, flow);
            begin(ctx, counters, scratch)
        }
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
        flow.name_client(inspected, toa);
    }
    flow.decided(decision);
    follow(ctx, counters, scratch, flow);
}

/// Counts the connection that is remembered no more, unless it had ended.
#[inline(always)]
fn supersede(counters: &Counters, flow: Option<*mut Flow>) {
    // SAFETY: a pointer from the map, valid while the program runs.
    if flow.is_some_and(|flow| unsafe { (*flow).ended_ns } == 0) {
        counters.increment(Counter::Superseded);
    }
}

/// Begins to follow a connection.
#[inline(always)]
fn begin(ctx: &TcContext, counters: &Counters, scratch: *mut Scratch) -> Option<*mut Flow> {
    // SAFETY: two fields of a live map value, which only this program uses now.
    let (inspected, flow) = unsafe { (&(*scratch).inspected, &mut (*scratch).flow) };
    let key = &inspected.tcp.key;
    *flow = Flow { generation: now_ns(), first_seq: inspected.tcp.seq.0, ..Flow::EMPTY };
    flow.name_client(inspected, &inspected.toa);
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

/// Notes a packet of a followed connection, and streams it if it has something to tell: payload, or the
/// beginning or end of the connection.
#[inline(always)]
fn follow(ctx: &TcContext, counters: &Counters, scratch: *mut Scratch, flow: &mut Flow) {
    // SAFETY: a field of a live map value, which only this program uses now, written before.
    let tcp = unsafe { &(*scratch).inspected.tcp };
    let now_ns = now_ns();
    if flow.passed(tcp, now_ns) {
        counters.increment(Counter::Closed);
    }
    if tcp.is_bare() {
        return counters.increment(Counter::Bare);
    }
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
    if is_skipped(tcp, flow.generation) {
        counters.increment(Counter::Skipped);
        return counters.add(Counter::SkippedBytes, u64::from(tcp.payload_len));
    }
    emit(ctx, counters, scratch, flow, now_ns);
}
