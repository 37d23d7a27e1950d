//! The path of a packet through the program: parse, look up, decide, record, copy.
//!
//! Almost every packet needs only its headers and one lookup among the followed connections. The program itself does
//! that. The other packets are passed in the scratch map to separate functions. After such a function returns, the
//! verifier forgets how it got there, so each function is verified once instead of once per path. A function and its
//! callers share a stack of 512 bytes. They use it for `TcpPacket` (64), `RuleKey` (24), `PrefixKey` (24), and spilled
//! registers.

use aya_ebpf::programs::TcContext;
use toa_common::{
    counters::Counter,
    flow::flags,
    follow::{Action, Decision, decide},
    inspect::{Inspected, find_toa, has_interesting_options, parse_headers},
    skip_reason::SkipReason,
    tcp_packet::TcpPacket,
    verifier::load,
    wire::{
        tcp::FIN,
        toa::Toa,
        view::{Link, PacketView},
    },
};

use crate::{
    counters::Counters,
    emit::emit,
    follow::{follow, follow_next},
    learn::{count_replaced, learn, remember},
    maps::{CONFIG, FLOWS, FlowRef, handshakes, is_balancer, is_trusted, is_watched, keep_example},
    outcome::Outcome,
    scratch::{Scratch, due},
    server_socket::{fate, find_fate, find_start},
    skb::{Copied, Linear, Metadata},
};

/// Reports the outcome to a test. Two methods instead of a `Result`, because the discriminant and the pointer of a
/// spilled `Result` share a stack slot, which the verifier rejects.
pub trait Report: Copy {
    /// Returns the outcome for a TCP packet.
    fn found(self, inspected: &Inspected, decision: Decision) -> u32;

    /// Returns the outcome for a packet that was skipped.
    fn skipped(self, reason: SkipReason) -> u32;
}

/// Handles one packet. Returns the outcome as reported by `report`, which only tests use.
#[inline(always)]
pub fn ingress(ctx: &TcContext, link: Link, report: impl Report) -> u32 {
    let outcome = classify(ctx, link, report);
    // In one place for all paths, so that it is verified once.
    if outcome.is_due()
        && let Some(scratch) = Scratch::this_cpu()
    {
        emit(ctx, scratch);
    }
    outcome.reported()
}

#[inline(always)]
fn classify(ctx: &TcContext, link: Link, report: impl Report) -> Outcome {
    let packet = Linear::new(ctx);
    match parse_headers(&packet, link, &CONFIG) {
        Ok(tcp) if !has_interesting_options(&packet, &tcp) => plain(ctx, tcp, report),
        Ok(tcp) => {
            let Some(scratch) = Scratch::this_cpu() else {
                return Outcome::new(0, due::NOT);
            };
            scratch.inspected.tcp = tcp;
            with_options(ctx, scratch, walk_linear, report)
        }
        Err(SkipReason::Truncated) if packet.is_part() => {
            let Some(scratch) = Scratch::this_cpu() else {
                return Outcome::new(0, due::NOT);
            };
            match SkipReason::from_code(parse_copied(ctx, link, scratch)) {
                Some(reason) => Outcome::new(skip(reason, report), due::NOT),
                None => with_options(ctx, scratch, walk_copied, report),
            }
        }
        Err(reason) => Outcome::new(skip(reason, report), due::NOT),
    }
}

/// Parses the headers of a packet whose headers are not all linear, and writes the result to the scratch map. Returns 0
/// or the code of a [`SkipReason`].
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

/// Looks up the connection of a packet without options that matter. Almost every packet ends here: its connection is
/// not followed, and no SYN with its source port was remembered lately.
#[inline(always)]
fn plain(ctx: &TcContext, tcp: TcpPacket, report: impl Report) -> Outcome {
    let flow = FlowRef::find(&tcp.key);
    if flow.is_none() && !handshakes::may_have(&tcp.key) && !may_begin_unnamed(&tcp) {
        return Outcome::new(unmarked(&Inspected::plain(tcp), report), due::NOT);
    }
    let Some(scratch) = Scratch::this_cpu() else {
        return Outcome::new(0, due::NOT);
    };
    let just_continues = flow.is_some_and(|flow| flow.get().is_just_continued_by(&tcp));
    scratch.inspected = Inspected::plain(tcp);
    handle(ctx, scratch, flow, just_continues, report)
}

/// Returns whether a connection could be followed from this packet on although nothing names its client.
#[inline(always)]
fn may_begin_unnamed(tcp: &TcpPacket) -> bool {
    CONFIG.follows_any() && !tcp.is_pure_ack()
}

/// Walks the options of a packet and looks up its connection. If it is not followed, nothing was found in the options,
/// and no SYN was remembered, the packet ends here.
#[inline(always)]
fn with_options(
    ctx: &TcContext,
    scratch: &mut Scratch,
    walk: impl FnOnce(&TcContext, &mut Scratch) -> u32,
    report: impl Report,
) -> Outcome {
    let found = walk(ctx, scratch);
    let tcp = &scratch.inspected.tcp;
    let flow = FlowRef::find(&tcp.key);
    if flow.is_none() && found == 0 && !handshakes::may_have(&tcp.key) && !may_begin_unnamed(tcp) {
        Outcome::new(unmarked(&scratch.inspected, report), due::NOT)
    } else {
        handle(ctx, scratch, flow, false, report)
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

/// Walks the options of the packet in the scratch map and writes the result there. Returns 1 if anything was found, and
/// 0 otherwise.
#[inline(never)]
fn walk_linear(ctx: &TcContext, scratch: &mut Scratch) -> u32 {
    walk(&Linear::new(ctx), &mut scratch.inspected)
}

/// Does the same for a packet whose headers were copied to the scratch map.
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

/// Decides on the packet in the scratch map and carries out the decision. `just_continues` is
/// [`Flow::is_just_continued_by`](toa_common::flow::Flow::is_just_continued_by): the decision is then known.
#[inline(always)]
fn handle(
    ctx: &TcContext,
    scratch: &mut Scratch,
    flow: Option<FlowRef>,
    just_continues: bool,
    report: impl Report,
) -> Outcome {
    scratch.due = due::NOT;
    scratch.fate = fate::UNKNOWN;
    scratch.is_joined = 0;
    // Not in `act`, whose calls have hardly any stack left.
    if let Some(flow) = flow {
        find_fate(ctx, scratch);
        if just_continues && load(&scratch.fate) == fate::READ && !Metadata::new(ctx).is_for_other_host() {
            follow_next(ctx, scratch, flow);
            let reported = report.found(&scratch.inspected, Action::Follow.into());
            return Outcome::new(reported, scratch.due);
        }
    }
    let reported = act(ctx, scratch, flow, report);
    Outcome::new(reported, scratch.due)
}

/// Does so. A function of its own for the sake of the stack.
#[inline(never)]
fn act(ctx: &TcContext, scratch: &mut Scratch, flow: Option<FlowRef>, report: impl Report) -> u32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    let Scratch { inspected, handshake, .. } = scratch;
    if Metadata::new(ctx).is_for_other_host() {
        counters.increment(Counter::OtherHost);
        return report.found(inspected, Action::Reject.into());
    }
    if inspected.toa.is_some() {
        counters.increment(Counter::Toa);
        if is_trusted(&inspected.tcp.key.source) {
            keep_example(&inspected.toa.client.address);
        } else {
            counters.increment(Counter::Untrusted);
            inspected.toa = Toa::none();
        }
    }
    let key = &inspected.tcp.key;
    let mut flow = flow.filter(|flow| flow.get().is_of(key));
    handshake.used = 1;
    if flow.as_ref().is_none_or(|flow| flow.get().has(flags::CHALLENGED))
        && handshakes::find(key, handshake)
        && flow.is_none()
        && handshake.used != 0
    {
        // Another CPU has just begun to follow the connection.
        flow = FlowRef::find(key);
    }
    let has_handshake = handshake.used == 0;
    let known = flow.as_ref().map(FlowRef::get);
    let any = CONFIG.follows_any() && is_balancer(&inspected.tcp.key.source);
    let decision = decide(inspected, known, has_handshake.then_some(&*handshake), any, |toa| {
        CONFIG.follows_any() || is_watched(toa)
    });
    if decision.action == Action::Learn && !decision.completed {
        find_start(ctx, scratch);
    }
    carry_out(ctx, &counters, scratch, decision, flow);
    report.found(&scratch.inspected, decision)
}

#[inline(always)]
fn carry_out(
    ctx: &TcContext,
    counters: &Counters,
    scratch: &mut Scratch,
    decision: Decision,
    flow: Option<FlowRef>,
) {
    let walk = &scratch.inspected.walk;
    if walk.unselected() != 0 {
        counters.unselected(walk.unselected());
    }
    if walk.stop().is_malformed() {
        counters.increment(Counter::MalformedOptions);
    }
    if let Some(counter) = refusal(scratch, decision.action, flow.as_ref()) {
        return counters.increment(counter);
    }
    let Inspected { tcp, toa, .. } = &scratch.inspected;
    if decision.conflict {
        counters.increment(Counter::Conflict);
    }
    // While it is learned, other CPUs need the handshake: see `learn`.
    if decision.completed && decision.action != Action::Learn {
        handshakes::mark_used(&tcp.key);
    }
    let flow = match decision.action {
        Action::Ignore => {
            return counters.increment(if toa.is_some() { Counter::Unwatched } else { Counter::Unmarked });
        }
        Action::Reject => return counters.increment(Counter::Signed),
        Action::Stray => return counters.increment(Counter::Stray),
        Action::Remember => {
            remember(counters, scratch, decision.watched);
            if let Some(mut flow) = flow {
                counters.increment(Counter::Challenged);
                flow.get_mut().flags |= flags::CHALLENGED;
            }
            return;
        }
        Action::End => {
            count_replaced(counters, flow);
            let key = &tcp.key;
            // Fails if another CPU has already removed it.
            let _ = FLOWS.remove(key);
            return counters.increment(Counter::Unfollowed);
        }
        Action::Learn => learn(ctx, counters, scratch, decision.completed, flow),
        Action::Follow | Action::Replace => flow,
    };
    let Some(mut flow) = flow else {
        return;
    };
    let flow = flow.get_mut();
    if decision.action == Action::Replace {
        counters.increment(Counter::Replaced);
        scratch.inspected.name(&mut flow.attribution);
    }
    decision.apply(flow);
    follow(ctx, counters, scratch, flow);
}

/// Returns the counter of a packet that the server's socket will not take, so that it must not change anything here.
#[inline(always)]
fn refusal(scratch: &Scratch, action: Action, flow: Option<&FlowRef>) -> Option<Counter> {
    if matches!(action, Action::Ignore | Action::Reject | Action::Stray | Action::Remember) {
        return None;
    }
    // The client's FIN is the end of the connection on this side, too.
    let is_current =
        matches!(action, Action::Follow | Action::Replace) && scratch.inspected.tcp.flags & FIN == 0;
    match load(&scratch.fate) {
        fate::ACK_UNACCEPTABLE => Some(Counter::AckUnacceptable),
        fate::CLOSED if is_current => Some(Counter::ServerClosed),
        fate::NO_CONNECTION if is_current && flow.is_some_and(|flow| flow.get().has(flags::SOCKET_SEEN)) => {
            Some(Counter::ServerClosed)
        }
        _ => None,
    }
}
