//! Connections that use the 4-tuple of an earlier one.
//!
//! Balancers with full NAT use a port again soon, and a capture may lack the SYN: it was lost, or only packets with data were
//! captured. A segment that cannot belong to the known connection begins another one if that has ended or was silent for
//! long, and the segment names its client or begins like a request.
//!
//! A server may not have accepted what seemed to begin the other connection. So the flow that was replaced is kept: what
//! continues it brings it back. Both streams are read then, each with its own generation.

use toa_common::{
    counters::Counter,
    flow::Flow,
    flow_key::FlowKey,
    follow::{Action, Decision},
    handshake::Handshake,
    inspect::Inspected,
    seq::Seq,
    wire::tcp::{FIN, RST, SYN},
};

use super::{Classifier, replaced_flows::ReplacedFlows};
use crate::http::start::is_request_start;

/// How long an open connection must have been silent before a single segment may begin another one, in nanoseconds. While
/// it is active, anyone may have sent that segment.
const SILENCE_NS: u64 = 30_000_000_000;

/// How far before the next byte a segment may be that is sent again after such a silence, in bytes.
const RESENT_BYTES: i32 = 65_535;

/// Returns whether a packet is a segment with payload from the middle of a connection.
fn has_data(inspected: &Inspected) -> bool {
    inspected.tcp.payload_len != 0 && inspected.tcp.flags & (SYN | RST) == 0
}

impl Classifier {
    /// Follows connections that use a 4-tuple again although the capture lacks their SYN. Otherwise, it decides on every
    /// packet as the kernel program does.
    #[must_use]
    pub fn without_syns(self) -> Self {
        Self { replaced: Some(ReplacedFlows::new(self.max_flows)), ..self }
    }

    /// Returns whether `flow` may have ended before a packet of this time, so that another connection may use its 4-tuple.
    #[inline]
    pub(super) fn may_be_over(&self, flow: &Flow, time_ns: u64) -> bool {
        let is_silent = time_ns.saturating_sub(flow.last_ns) >= SILENCE_NS;
        (flow.ended_ns != 0 || is_silent) && self.replaced.is_some()
    }

    /// Returns the decision to begin another connection with a packet that has the 4-tuple of `flow`, which is over.
    #[cold]
    pub(super) fn begin_another(
        &self,
        flow: &Flow,
        inspected: &Inspected,
        payload: &[u8],
        handshake: Option<&Handshake>,
    ) -> Option<Decision> {
        let Inspected { tcp, toa, walk } = inspected;
        let is_before = tcp.seq.distance(Seq(flow.next_seq)) < -RESENT_BYTES;
        let may_begin = has_data(inspected)
            && !walk.is_signed()
            && (is_before || !flow.may_contain(tcp.seq))
            && (toa.is_some() || (!payload.is_empty() && is_request_start(payload)));
        let decision = may_begin.then(|| self.decide_on(inspected, payload, None, handshake));
        decision.filter(|decision| decision.action == Action::Learn)
    }

    /// Counts a flow that was replaced or removed, unless it had ended, and keeps it.
    pub(super) fn replace(&mut self, key: &FlowKey, flow: Option<Flow>) {
        let Some(flow) = flow else { return };
        if flow.ended_ns == 0 {
            self.counters.increment(Counter::ReplacedOpen);
        }
        if let Some(replaced) = &mut self.replaced {
            replaced.put(*key, flow);
        }
    }

    /// Exchanges the flow of a packet for the one that it replaced, if the packet continues that one, and returns it then.
    #[cold]
    pub(super) fn take_back(&mut self, inspected: &Inspected) -> Option<Flow> {
        let replaced = self.replaced.as_mut()?;
        let (key, seq) = (&inspected.tcp.key, inspected.tcp.seq);
        let before = replaced.get(key)?;
        let belongs = before.is_continued_by(seq) || (before.ended_ns != 0 && before.may_contain(seq));
        let is_unexpected =
            |flow: &Flow| !flow.is_continued_by(seq) && (before.next_seq == seq.0 || !flow.may_contain(seq));
        let has_data = has_data(inspected) || inspected.tcp.flags & (SYN | RST | FIN) == FIN;
        let is_back = belongs
            && has_data
            && !inspected.walk.is_signed()
            && self.flows.peek(key).is_none_or(is_unexpected);
        is_back.then(|| {
            replaced.remove(key);
            if let Some(flow) = self.flows.put(*key, before) {
                replaced.put(*key, flow);
            }
            before
        })
    }
}
