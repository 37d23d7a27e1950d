//! Classification of the packets of a capture, with the steps of the kernel program: inspect, decide, record, hand on.
//!
//! The code that parses packets and decides on them is the kernel program's. Only lookups and writes differ. Time is
//! that of the packets.

use ipnet::IpNet;
use lru::LruCache;
use toa_common::{
    address::Client,
    config::Config,
    counters::Counter,
    flow::Flow,
    flow_key::FlowKey,
    follow::{Action, Decision, decide},
    inspect::{Inspected, inspect},
    skip_reason::SkipReason,
    tcp_packet::SegmentKind,
    wire::{toa::Toa, view::Captured},
};

use crate::{
    capture::Packet,
    http::start::is_request_start,
    ledger::{add, counters::Snapshot},
    rule::{Rule, balancers::Balancers, matcher::Matcher},
    segment::Segment,
};

/// Which connections to follow.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Which options are TOA, and the servers' ports.
    pub config: Config,
    /// The rules for watched clients.
    pub rules: Vec<Rule>,
    /// The sources whose TOA is trusted, if the configuration restricts them.
    pub balancers: Vec<IpNet>,
    /// Whether to follow every connection, whatever its TOA says and even without one.
    pub any_flow: bool,
    /// Most connections at a time. Beyond this, the connection that has been silent for longest is dropped.
    pub max_flows: usize,
}

/// The result for one packet.
#[derive(Clone, Copy, Debug)]
pub struct Classified<'a> {
    /// What was found in it. An untrusted TOA counts as none.
    pub inspected: Inspected,
    /// The decision.
    pub decision: Decision,
    /// The packet as a segment, if its connection is followed and it has payload, SYN, FIN or RST.
    pub segment: Option<Segment<'a>>,
}

/// Follows the connections of a capture.
#[derive(Debug)]
pub struct Classifier {
    config: Config,
    matcher: Matcher,
    balancers: Balancers,
    any_flow: bool,
    max_flows: usize,
    /// In the order of their latest packets.
    flows: LruCache<FlowKey, Flow>,
    /// The generation of the connection learned last.
    generation: u64,
    counters: Snapshot,
    evicted: u64,
}

impl Classifier {
    /// Creates a classifier that knows no connection.
    pub fn new(selection: Selection) -> Self {
        let Selection { config, mut rules, balancers, any_flow, max_flows } = selection;
        if any_flow {
            rules.push(Rule::Any);
        }
        Self {
            config,
            matcher: Matcher::new(&rules),
            balancers: Balancers::new(&balancers),
            any_flow,
            max_flows: max_flows.max(1),
            flows: LruCache::unbounded(),
            generation: 0,
            counters: Snapshot::default(),
            evicted: 0,
        }
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Snapshot {
        &self.counters
    }

    /// Returns how many open connections were dropped because there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns the flow of a connection, if it is followed.
    pub fn flow(&self, key: &FlowKey) -> Option<&Flow> {
        self.flows.peek(key)
    }

    /// Classifies a packet.
    pub fn classify<'a>(&mut self, packet: &Packet<'a>) -> Result<Classified<'a>, SkipReason> {
        let whole = Captured { bytes: packet.bytes, wire_len: packet.wire_len };
        let inspected = packet.link.enter(whole).and_then(|(captured, link)| {
            inspect(&captured, link, &self.config).map(|inspected| (captured, inspected))
        });
        match inspected {
            Ok((captured, inspected)) => Ok(self.decide(packet, &captured, inspected)),
            Err(reason) => {
                self.counters.skipped(reason);
                Err(reason)
            }
        }
    }

    fn decide<'a>(
        &mut self,
        packet: &Packet<'a>,
        captured: &Captured<'a>,
        mut inspected: Inspected,
    ) -> Classified<'a> {
        let Inspected { tcp, walk, .. } = inspected;
        if inspected.toa.is_some() {
            self.counters.increment(Counter::Toa);
            if !self.balancers.trusts(tcp.key.source) {
                self.counters.increment(Counter::Untrusted);
                inspected.toa = Toa::none();
            }
        }
        self.counters.unselected(walk.unselected());
        if walk.stop().is_malformed() {
            self.counters.increment(Counter::MalformedOptions);
        }
        let payload = payload(captured, &inspected);
        let flow = self.flows.get(&tcp.key).filter(|flow| !flow.has_lingered(|| packet.time_ns));
        let matcher = &self.matcher;
        let decision = decide(inspected.segment_kind(), tcp.seq, flow, &inspected.toa, |toa| {
            matcher.contains(&toa.client, toa.has_port())
        });
        let is_followed = self.carry_out(packet.time_ns, &inspected, payload, decision).is_some();
        let segment = if is_followed { self.follow(packet, &inspected, payload) } else { None };
        Classified { inspected, decision, segment }
    }

    /// Carries out the decision and counts it. Returns `None` if the connection of the packet is not followed.
    fn carry_out(
        &mut self,
        time_ns: u64,
        inspected: &Inspected,
        payload: &[u8],
        decision: Decision,
    ) -> Option<()> {
        let Inspected { tcp, toa, .. } = inspected;
        if decision.conflict {
            self.counters.increment(Counter::Conflict);
        }
        match decision.action {
            Action::Ignore | Action::End if self.begins(inspected, payload) => {
                self.begin(time_ns, inspected, &peer(&tcp.key));
            }
            Action::Ignore => {
                let reason = if toa.is_some() { Counter::Unwatched } else { Counter::Unmarked };
                self.counters.increment(reason);
                return None;
            }
            Action::End => {
                let flow = self.flows.pop(&tcp.key);
                self.count_replaced(flow);
                self.counters.increment(Counter::UnfollowedBySyn);
                return None;
            }
            Action::Learn => self.begin(time_ns, inspected, toa),
            Action::Follow | Action::Replace => {}
        }
        let flow = self.flows.get_mut(&tcp.key)?;
        if decision.action == Action::Replace {
            self.counters.increment(Counter::Replaced);
            inspected.attribute(flow);
        }
        decision.apply(flow);
        Some(())
    }

    /// Returns whether to follow a connection from this packet on although no TOA says so. This is the case for its SYN
    /// or, if the capture does not have the SYN, for the first data from its client. The client is the side that sends
    /// to one of the servers' ports if these are given, or else the side that sends what looks like a request.
    fn begins(&self, inspected: &Inspected, payload: &[u8]) -> bool {
        self.any_flow
            && match inspected.segment_kind() {
                SegmentKind::Syn => true,
                SegmentKind::Data => {
                    let is_client = || !payload.is_empty() && is_request_start(payload);
                    !self.flows.contains(&reverse(&inspected.tcp.key))
                        && (self.config.restricts_ports() || is_client())
                }
                SegmentKind::SynAck | SegmentKind::Rst | SegmentKind::Ack => false,
            }
    }

    /// Begins to follow a connection, with the client that `toa` names.
    fn begin(&mut self, time_ns: u64, inspected: &Inspected, toa: &Toa) {
        self.generation = time_ns.max(self.generation.saturating_add(1));
        let mut flow = Flow { generation: self.generation, first_seq: inspected.tcp.seq.0, ..Flow::EMPTY };
        flow.attribution.name(toa, inspected.segment_kind(), inspected.walk.has_several());
        let before = self.flows.put(inspected.tcp.key, flow);
        self.count_replaced(before);
        self.counters.increment(Counter::Learned);
        while self.flows.len() > self.max_flows {
            let oldest = self.flows.pop_lru();
            add(&mut self.evicted, u64::from(oldest.is_some_and(|(_, flow)| flow.ended_ns == 0)));
        }
    }

    /// Counts a replaced flow, unless it had ended.
    fn count_replaced(&mut self, flow: Option<Flow>) {
        if flow.is_some_and(|flow| flow.ended_ns == 0) {
            self.counters.increment(Counter::ReplacedOpen);
        }
    }

    /// Records a packet of a followed connection. Returns it as a segment unless it is a pure ACK.
    fn follow<'a>(
        &mut self,
        packet: &Packet<'a>,
        inspected: &Inspected,
        payload: &'a [u8],
    ) -> Option<Segment<'a>> {
        let Self { counters, flows, .. } = self;
        let tcp = &inspected.tcp;
        let flow = flows.get_mut(&tcp.key)?;
        if flow.count_packet(tcp, packet.time_ns) {
            counters.increment(Counter::Closed);
        }
        if tcp.is_pure_ack() {
            counters.increment(Counter::PureAck);
            return None;
        }
        let segment = Segment {
            key: tcp.key,
            generation: flow.generation,
            time_ns: packet.time_ns,
            interface_index: packet.interface,
            attribution: flow.attribution,
            seq: tcp.seq,
            flags: tcp.flags,
            payload,
            payload_len: tcp.payload_len,
        };
        counters.increment(Counter::Matched);
        counters.add(Counter::MatchedBytes, u64::from(tcp.payload_len));
        counters.increment(Counter::Emitted);
        counters.add(Counter::EmittedBytes, payload.len() as u64);
        if segment.cut_bytes() > 0 {
            counters.increment(Counter::Cut);
            counters.add(Counter::CutBytes, segment.cut_bytes());
        }
        Some(segment)
    }
}

/// Returns the captured part of the payload. The link layer's padding may follow it.
fn payload<'a>(captured: &Captured<'a>, inspected: &Inspected) -> &'a [u8] {
    let offset = usize::try_from(inspected.tcp.payload_offset()).ok();
    let behind = offset.and_then(|offset| captured.bytes.get(offset..)).unwrap_or_default();
    usize::try_from(inspected.tcp.payload_len).ok().and_then(|len| behind.get(..len)).unwrap_or(behind)
}

/// Returns a stand-in for the TOA of a connection without one: the sender as the client, with kind and length 0.
fn peer(key: &FlowKey) -> Toa {
    let client = Client { address: key.source, port_be: key.source_port().to_be() };
    Toa { client, ..Toa::none() }
}

/// Returns the key of the other direction.
fn reverse(key: &FlowKey) -> FlowKey {
    FlowKey { source: key.destination, destination: key.source, ports: key.ports.rotate_left(16) }
}

#[cfg(test)]
pub(crate) mod tests;
