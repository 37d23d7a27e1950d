//! Classification of the packets of a capture, with the steps of the kernel program: inspect, decide, record, hand on.
//!
//! The code that parses packets and decides on them is the kernel program's. Only lookups and writes differ. Time is
//! that of the packets.

mod beginning;
mod content;
mod recorded;
mod replaced_flows;
mod reuse;
mod unfollowed;

use std::num::NonZeroUsize;

use foldhash::quality::RandomState;
use ipnet::IpNet;
use lru::LruCache;
use toa_common::{
    attribution::Attribution,
    config::Config,
    counters::Counter,
    flow::{Flow, flags},
    flow_key::FlowKey,
    follow::{Action, Decision, decide},
    handshake::Handshake,
    inspect::{Inspected, inspect},
    limits,
    skip_reason::SkipReason,
    tcp_packet::SegmentKind,
    wire::{tcp::SYN, toa::Toa, view::Captured},
};

use crate::{
    capture::Packet,
    http::start::is_client_start,
    ledger::counters::Snapshot,
    pipeline::checksums::Checksums,
    rule::{Rule, balancers::Balancers, matcher::Matcher},
    segment::{Segment, Start, checksum::Checksum, details::Details},
};
use content::{Content, details, payload};
use replaced_flows::ReplacedFlows;
use unfollowed::UnfollowedData;

/// Entries of the table of handshakes.
const MAX_HANDSHAKES: NonZeroUsize = NonZeroUsize::new(limits::MAX_HANDSHAKES as usize).unwrap();

/// Which connections to follow.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Which options are TOA, and the servers' ports.
    pub config: Config,
    /// The rules for watched clients. If the configuration follows any connection, they are for the pipeline.
    pub rules: Vec<Rule>,
    /// The sources whose TOA is trusted, if the configuration restricts them.
    pub balancers: Vec<IpNet>,
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
    max_flows: usize,
    /// In the order of their latest packets.
    flows: LruCache<FlowKey, Flow, RandomState>,
    /// What the kernel program has no need of: it sees every SYN.
    replaced: Option<ReplacedFlows>,
    handshakes: LruCache<FlowKey, Handshake, RandomState>,
    unfollowed: UnfollowedData,
    checksums: Checksums,
    /// The generation of the connection learned last.
    generation: u64,
    counters: Snapshot,
    evicted: u64,
}

impl Classifier {
    /// Creates a classifier that knows no connection.
    pub fn new(selection: Selection) -> Self {
        let Selection { config, rules, balancers, max_flows } = selection;
        Self {
            config,
            matcher: if config.follows_any() { Matcher::new(&[Rule::Any]) } else { Matcher::new(&rules) },
            balancers: Balancers::new(&balancers),
            max_flows: max_flows.max(1),
            // Seeded at random, so that nobody can choose ports that collide.
            flows: LruCache::unbounded_with_hasher(RandomState::default()),
            replaced: None,
            handshakes: LruCache::with_hasher(MAX_HANDSHAKES, RandomState::default()),
            unfollowed: UnfollowedData::new(max_flows),
            checksums: Checksums::default(),
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
        if inspected.toa.is_some() {
            self.counters.increment(Counter::Toa);
            if !self.balancers.trusts(inspected.tcp.key.source) {
                self.counters.increment(Counter::Untrusted);
                inspected.toa = Toa::none();
            }
        }
        let Inspected { tcp, walk, .. } = &inspected;
        self.counters.unselected(walk.unselected());
        if walk.stop().is_malformed() {
            self.counters.increment(Counter::MalformedOptions);
        }
        let mut known = self.flows.peek(&tcp.key).copied();
        let payload = payload(captured, &inspected);
        let details = self.matters(&inspected, known.as_ref()).then(|| details(captured, tcp, false));
        if let Some(details) = details
            && !self.checksums.accepts(&tcp.key.source, details.checksum)
        {
            // The pipeline counts and discards it. Nothing may follow from it.
            let details = Some(Details { checksum: Checksum::Refused, ..details });
            let content = Content { payload, details };
            let counters = &mut self.counters;
            let segment =
                known.map(|flow| segment(counters, &flow, packet, captured, &inspected, content, false));
            return Classified { inspected, decision: Action::Reject.into(), segment };
        }
        if self.replaced.as_ref().is_some_and(|replaced| !replaced.is_empty()) {
            known = self.take_back(&inspected).or(known);
        }
        let handshake = self.handshake(&tcp.key, known.as_ref());
        let mut decision = self.decide_on(&inspected, payload, known.as_ref(), handshake.as_ref());
        if let Some(flow) = &known
            && self.may_be_over(flow, packet.time_ns)
            && let Some(begun) = self.begin_another(flow, &inspected, payload, handshake.as_ref())
        {
            decision = begun;
        }
        let handshake = handshake.filter(|_| decision.completed);
        let is_followed = self.carry_out(packet, &inspected, decision, handshake.as_ref());
        let content = Content { payload, details };
        let segment =
            if is_followed { self.follow(packet, captured, &inspected, decision, content) } else { None };
        Classified { inspected, decision, segment }
    }

    /// Decides on a packet, whose flow and handshake are as given.
    #[inline(always)]
    fn decide_on(
        &self,
        inspected: &Inspected,
        payload: &[u8],
        known: Option<&Flow>,
        handshake: Option<&Handshake>,
    ) -> Decision {
        let Inspected { tcp, toa, .. } = inspected;
        // What continues a known connection is followed anyway.
        let may_begin = known.is_none() || handshake.is_some() || toa.is_some() || tcp.flags & SYN != 0;
        let any = may_begin && self.follows_unnamed(inspected, payload, handshake.is_some());
        decide(inspected, known, handshake, any, |toa| self.matcher.contains(&toa.client, toa.has_port()))
    }

    /// Returns whether something could follow from a packet, so that its checksum matters.
    fn matters(&self, inspected: &Inspected, known: Option<&Flow>) -> bool {
        let Inspected { tcp, toa, .. } = inspected;
        known.is_some()
            || toa.is_some()
            || tcp.flags & SYN != 0
            || self.handshakes.contains(&tcp.key)
            || self.replaced.as_ref().is_some_and(|replaced| replaced.contains(&tcp.key))
    }

    /// Carries out the decision and counts it, except for what it changes in the flow. Returns whether the connection of
    /// the packet is followed.
    fn carry_out(
        &mut self,
        packet: &Packet<'_>,
        inspected: &Inspected,
        decision: Decision,
        handshake: Option<&Handshake>,
    ) -> bool {
        let Inspected { tcp, toa, .. } = inspected;
        if decision.conflict {
            self.counters.increment(Counter::Conflict);
        }
        if decision.completed {
            self.handshakes.pop(&tcp.key);
        }
        match decision.action {
            Action::Ignore => {
                let reason = if toa.is_some() { Counter::Unwatched } else { Counter::Unmarked };
                self.counters.increment(reason);
                self.unfollowed.note(tcp);
            }
            Action::Reject => self.counters.increment(Counter::Signed),
            Action::Stray => self.counters.increment(Counter::Stray),
            Action::Remember => self.remember(inspected, decision.watched),
            Action::End => {
                let flow = self.flows.pop(&tcp.key);
                self.replace(&tcp.key, flow);
                self.counters.increment(Counter::Unfollowed);
                self.unfollowed.note(tcp);
            }
            Action::Learn => {
                self.begin(packet, inspected, handshake);
                return true;
            }
            Action::Follow | Action::Replace => return true,
        }
        false
    }

    /// Returns the handshake that a packet may complete. An open connection must have been challenged before.
    fn handshake(&mut self, key: &FlowKey, known: Option<&Flow>) -> Option<Handshake> {
        let may_have = known.is_none_or(|flow| flow.has(flags::CHALLENGED));
        may_have.then(|| self.handshakes.get(key).copied()).flatten()
    }

    /// Remembers a SYN until a packet completes its handshake.
    fn remember(&mut self, inspected: &Inspected, watched: bool) {
        let Inspected { tcp, .. } = inspected;
        let mut handshake = Handshake { attribution: Attribution::EMPTY, syn_seq: tcp.seq.0, used: 0 };
        self.counters.increment(Counter::Handshakes);
        if watched {
            inspected.name(&mut handshake.attribution);
        }
        let known = self.flows.peek(&tcp.key).copied();
        if !self.handshake(&tcp.key, known.as_ref()).is_some_and(|before| before.outlasts(inspected)) {
            self.handshakes.put(tcp.key, handshake);
        }
        if let Some(flow) = self.flows.get_mut(&tcp.key) {
            self.counters.increment(Counter::Challenged);
            flow.flags |= flags::CHALLENGED;
        }
    }

    /// Returns whether to follow a connection even if nothing names its client: one to the servers' ports or from the
    /// balancers, if these are given. Otherwise, its client is the side whose SYN was seen or, if the capture does not have
    /// the SYN, that sends what looks like a request.
    fn follows_unnamed(&self, inspected: &Inspected, payload: &[u8], has_handshake: bool) -> bool {
        let Inspected { tcp, .. } = inspected;
        let is_chosen = self.config.restricts_ports() || self.config.restricts_balancers();
        let is_client = || {
            inspected.segment_kind() != SegmentKind::Data
                || (!self.flows.contains(&tcp.key.reversed())
                    && !payload.is_empty()
                    && is_client_start(payload))
        };
        self.config.follows_any()
            && self.balancers.trusts(tcp.key.source)
            && (is_chosen || has_handshake || is_client())
    }

    /// Records a packet of a followed connection. Returns it as a segment unless it is a pure ACK.
    fn follow<'a>(
        &mut self,
        packet: &Packet<'a>,
        captured: &Captured<'a>,
        inspected: &Inspected,
        decision: Decision,
        content: Content<'a>,
    ) -> Option<Segment<'a>> {
        let Self { counters, flows, unfollowed, .. } = self;
        let tcp = &inspected.tcp;
        let flow = flows.get_mut(&tcp.key)?;
        if decision.action == Action::Replace {
            counters.increment(Counter::Replaced);
            inspected.name(&mut flow.attribution);
        }
        decision.apply(flow);
        let change = flow.track(tcp, packet.time_ns);
        if flow.is_elsewhere(packet.interface, 0) {
            counters.increment(Counter::OtherInterface);
        }
        for (happened, counter) in [
            (change.ended, Counter::Closed),
            (change.reopened, Counter::Reopened),
            (change.is_stray, Counter::Stray),
            (change.is_after_end, Counter::AfterEnd),
        ] {
            if happened {
                counters.increment(counter);
            }
        }
        if flow.strays != 0 || flow.ended_ns != 0 {
            unfollowed.note(tcp);
        }
        if tcp.is_pure_ack() {
            counters.increment(Counter::PureAck);
            return None;
        }
        Some(segment(counters, flow, packet, captured, inspected, content, change.is_stray))
    }
}

/// Returns a packet of a followed connection as a segment, and counts it.
fn segment<'a>(
    counters: &mut Snapshot,
    flow: &Flow,
    packet: &Packet<'a>,
    captured: &Captured<'a>,
    inspected: &Inspected,
    Content { payload, details }: Content<'a>,
    is_stray: bool,
) -> Segment<'a> {
    let tcp = &inspected.tcp;
    let segment = Segment {
        key: tcp.key,
        generation: flow.generation,
        time_ns: packet.time_ns,
        interface_index: packet.interface,
        attribution: flow.attribution,
        seq: tcp.seq,
        flags: tcp.flags,
        details: details.unwrap_or_else(|| self::details(captured, tcp, false)),
        start: Start::of_flow(flow.flags, flow.start_seq),
        is_stray,
        is_doubtful: false,
        payload,
        payload_len: tcp.payload_len,
        left_out: None,
    };
    count(counters, &segment);
    segment
}

/// Counts a segment that is handed on.
fn count(counters: &mut Snapshot, segment: &Segment<'_>) {
    counters.increment(Counter::Matched);
    counters.add(Counter::MatchedBytes, u64::from(segment.payload_len));
    counters.increment(Counter::Emitted);
    counters.add(Counter::EmittedBytes, segment.payload.len() as u64);
    if segment.cut_bytes() > 0 {
        counters.increment(Counter::Cut);
        counters.add(Counter::CutBytes, segment.cut_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests;
