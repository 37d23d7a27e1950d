//! One packet's way through the kernel: parse, look up, decide, record, stream.
//!
//! Almost every packet needs its headers and one lookup among the followed connections, which is done in the program
//! itself. The others go on to functions of their own, which get the packet in the scratch map. After such a function
//! returns, the verifier forgets how it got there, so each function is verified once instead of once per path. Stack, of
//! 512 bytes for a function and its callers: `TcpPacket` 64, `RuleKey` 24, `PrefixKey` 24, and spilled registers.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use aya_log_ebpf::debug;
use toa_common::{
    counters::Counter,
    flow::Flow,
    follow::{Action, Decision, decide},
    inspect::{Inspected, find_toa, has_interesting_options, parse_headers},
    skip_reason::SkipReason,
    tcp_packet::TcpPacket,
    wire::{
        toa::Toa,
        view::{Link, PacketView},
    },
};

use crate::{
    counters::Counters,
    emit::emit,
    maps::{CONFIG, FLOWS, FlowRef, is_bypassed, is_trusted, is_watched},
    scratch::Scratch,
    skb::{Copied, Linear},
};

/// Reports the outcome to a test. Two methods instead of a `Result`, whose spilled discriminant and pointer share a stack
/// slot, which the verifier rejects.
pub trait Report: Copy {
    /// The outcome for a TCP packet.
    fn found(self, inspected: &Inspected, decision: Decision) -> u32;

    /// The outcome for any other packet.
    fn skipped(self, reason: SkipReason) -> u32;
}

/// Handles one packet. What `report` makes of the outcome is returned, for tests; nothing depends on it.
#[inline(always)]
pub fn ingress(ctx: &TcContext, link: Link, report: impl Report) -> u32 {
    let packet = Linear::new(ctx);
    match parse_headers(&packet, link, &CONFIG) {
        Ok(tcp) if !has_interesting_options(&packet, &tcp) => plain(ctx, tcp, report),
        Ok(tcp) => {
            let Some(scratch) = Scratch::this_cpu() else {
                return 0;
            };
            scratch.inspected.tcp = tcp;
            with_options(ctx, scratch, walk_linear, report)
        }
        Err(SkipReason::Truncated) if packet.is_part() => {
            let Some(scratch) = Scratch::this_cpu() else {
                return 0;
            };
            match SkipReason::from_code(parse_copied(ctx, link, scratch)) {
                Some(reason) => skip(reason, report),
                None => with_options(ctx, scratch, walk_copied, report),
            }
        }
        Err(reason) => skip(reason, report),
    }
}

/// Parses the headers of a packet whose headers are not all linear into the scratch. Returns 0 or the code of a
/// [`SkipReason`].
#[inline(never)]
fn parse_copied(ctx: &TcContext, link: Link, scratch: &mut Scratch) -> u32 {
    let Some(packet) = Copied::new(ctx, &mut scratch.headers) else {
        return SkipReason::Truncated as u32;
    };
    match parse_headers(&packet, link, &CONFIG) {
        Ok(tcp) => {
            scratch.inspected.tcp = tcp;
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

/// Looks up the connection of a packet without options. Almost every packet ends here: its connection is not followed.
#[inline(always)]
fn plain(ctx: &TcContext, tcp: TcpPacket, report: impl Report) -> u32 {
    let Some(flow) = FlowRef::find(&tcp.key) else {
        return unmarked(&Inspected::plain(tcp), report);
    };
    let Some(scratch) = Scratch::this_cpu() else {
        return 0;
    };
    scratch.inspected = Inspected::plain(tcp);
    act(ctx, scratch, Some(flow), report)
}

/// Walks the options of a packet and looks up its connection. If that is not followed and the options say nothing, the
/// packet ends here.
#[inline(always)]
fn with_options(
    ctx: &TcContext,
    scratch: &mut Scratch,
    walk: impl FnOnce(&TcContext, &mut Scratch) -> u32,
    report: impl Report,
) -> u32 {
    let found = walk(ctx, scratch);
    let flow = FlowRef::find(&scratch.inspected.tcp.key);
    if flow.is_none() && found == 0 {
        unmarked(&scratch.inspected, report)
    } else {
        act(ctx, scratch, flow, report)
    }
}

/// Counts a packet that has no TOA and whose connection is not followed.
#[inline(always)]
fn unmarked(inspected: &Inspected, report: impl Report) -> u32 {
    if let Some(counters) = Counters::this_cpu() {
        counters.increment(Counter::Unmarked);
    }
    report.found(inspected, Action::Ignore.into())
}

/// Walks the options of the packet in the scratch, and leaves there what was found. Returns whether that is anything.
#[inline(never)]
fn walk_linear(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    walk(&Linear::new(ctx), &mut scratch.inspected)
}

/// The same for a packet whose headers were copied to the scratch.
#[inline(never)]
fn walk_copied(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    walk(&Copied::again(ctx, &scratch.headers), &mut scratch.inspected)
}

#[inline(always)]
fn walk<P: PacketView>(packet: &P, inspected: &mut Inspected) -> u32 {
    let (toa, walk) = find_toa(packet, &inspected.tcp, &CONFIG);
    inspected.toa = toa;
    inspected.walk = walk;
    u32::from(toa.is_some() || walk.unselected() != 0 || walk.stop().is_malformed())
}

/// Decides on the packet in the scratch and carries the decision out.
#[inline(never)]
fn act(ctx: &TcContext, scratch: &mut Scratch, flow: Option<FlowRef>, report: impl Report) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    let inspected = &mut scratch.inspected;
    if inspected.toa.is_some() {
        counters.increment(Counter::Toa);
        if !is_trusted(&inspected.tcp.key.source) {
            counters.increment(Counter::Untrusted);
            inspected.toa = Toa::none();
        }
    }
    let known = flow.as_ref().map(FlowRef::get).filter(|flow| !flow.has_lingered(now_ns));
    let decision = decide(inspected.segment_kind(), inspected.tcp.seq, known, &inspected.toa, is_watched);
    carry_out(ctx, &counters, scratch, decision, flow);
    report.found(&scratch.inspected, decision)
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
    scratch: &mut Scratch,
    decision: Decision,
    flow: Option<FlowRef>,
) {
    let Inspected { tcp, toa, walk } = &scratch.inspected;
    if walk.unselected() != 0 {
        counters.unselected(walk.unselected());
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
            count_replaced(counters, flow);
            let key = &tcp.key;
            // Fails if another CPU was faster.
            let _ = FLOWS.remove(key);
            return counters.increment(Counter::UnfollowedBySyn);
        }
        Action::Learn => {
            count_replaced(counters, flow);
            learn(ctx, counters, scratch)
        }
        Action::Follow | Action::Replace => flow,
    };
    let Some(mut flow) = flow else {
        return;
    };
    let flow = flow.get_mut();
    if decision.action == Action::Replace {
        counters.increment(Counter::Replaced);
        scratch.inspected.attribute(flow);
    }
    decision.apply(flow);
    follow(ctx, counters, scratch, flow);
}

/// Counts the flow whose place is taken, unless it had ended.
#[inline(always)]
fn count_replaced(counters: &Counters, flow: Option<FlowRef>) {
    if flow.is_some_and(|flow| flow.get().ended_ns == 0) {
        counters.increment(Counter::ReplacedOpen);
    }
}

/// Begins to follow a connection.
#[inline(always)]
fn learn(ctx: &TcContext, counters: &Counters, scratch: &mut Scratch) -> Option<FlowRef> {
    let Scratch { inspected, flow, .. } = scratch;
    let key = &inspected.tcp.key;
    *flow = Flow { generation: now_ns(), first_seq: inspected.tcp.seq.0, ..Flow::EMPTY };
    inspected.attribute(flow);
    if FLOWS.insert(key, flow, 0).is_err() {
        counters.increment(Counter::FlowInsertFailed);
        return None;
    }
    counters.increment(Counter::Learned);
    // A copy: what is logged by reference must be in memory.
    let port = key.source_port();
    debug!(ctx, "a watched client's connection from port {}", port);
    FlowRef::find(key)
}

/// Counts a packet of a followed connection, and streams it if it has payload, SYN, FIN or RST.
#[inline(always)]
fn follow(ctx: &TcContext, counters: &Counters, scratch: &mut Scratch, flow: &mut Flow) {
    let tcp = &scratch.inspected.tcp;
    let now_ns = now_ns();
    if flow.count_packet(tcp, now_ns) {
        counters.increment(Counter::Closed);
    }
    if tcp.is_pure_ack() {
        return counters.increment(Counter::PureAck);
    }
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
    if is_bypassed(tcp, flow.generation) {
        counters.increment(Counter::Bypassed);
        return counters.add(Counter::BypassedBytes, u64::from(tcp.payload_len));
    }
    emit(ctx, counters, scratch, flow, now_ns);
}
