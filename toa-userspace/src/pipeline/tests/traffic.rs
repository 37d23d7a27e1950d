//! Random traffic from a seed: requests are split into packets, the packets suffer transmission faults and pass a
//! kernel that may bypass a part of them, and the rest enters a pipeline. Each case is one connection.

use toa_common::bypass::Bypass;

use super::*;

/// Cases per property.
const CASES: u64 = 100_000;

/// A pseudo-random number generator (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `0..bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Returns true once in `times` on average.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The kernel's part in bypasses.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// Whether it applies bypasses.
    pub(super) obeys: bool,
    pub(super) bypass: Option<Bypass>,
    /// How often a bypass was set and cleared.
    pub(super) set: u64,
    pub(super) cleared: u64,
}

impl Kernel {
    /// Returns whether a packet leaves no record.
    pub(super) fn covers(&self, segment: &Segment<'_>) -> bool {
        let Segment { generation, flags, seq, payload_len, .. } = *segment;
        self.bypass.is_some_and(|bypass| bypass.covers(generation, flags, seq, payload_len))
    }
}

impl BypassTable for Kernel {
    fn set(&mut self, _: &FlowKey, bypass: &Bypass) -> bool {
        if self.obeys {
            assert!(bypass.bytes() > 0 && bypass.bytes() <= Bypass::MAX_BYTES);
            self.bypass = Some(*bypass);
            self.set += 1;
        }
        self.obeys
    }

    fn clear(&mut self, _: &FlowKey, bypass: &Bypass) {
        self.cleared += 1;
        if self.bypass.is_some_and(|it| (it.generation, it.until) == (bypass.generation, bypass.until)) {
            self.bypass = None;
        }
    }
}

/// Returns the head and the body of a request. The body does not look like a request line.
fn request(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let method = ["GET", "POST", "PUT", "DELETE", "OPTIONS"][random.below(5)];
    let target = if method == "OPTIONS" {
        "*"
    } else {
        ["/", "/orders?id=7", "http://api.example/a"][random.below(3)]
    };
    let end = if random.once_in(8) { "\n" } else { "\r\n" };
    let mut head = format!("{method} {target} HTTP/1.{}{end}host: a{end}", 1 - u8::from(random.once_in(9)));
    for number in 0..random.below(4) {
        write!(head, "x-{number}: {}{end}", "value ".repeat(random.below(6))).unwrap();
    }
    let mut body = Vec::new();
    let bytes =
        |random: &mut Random| vec![0x80 | u8::try_from(random.below(128)).unwrap(); random.below(400)];
    match random.below(4) {
        0 => {
            body = bytes(random);
            write!(head, "Content-Length: {}{end}", body.len()).unwrap();
        }
        1 if head.contains("HTTP/1.1") => {
            write!(head, "Transfer-Encoding: chunked{end}").unwrap();
            for _ in 0..random.below(3) {
                let chunk = bytes(random);
                if !chunk.is_empty() {
                    body.extend(format!("{:X};a=\"b\"{end}", chunk.len()).bytes());
                    body.extend(chunk);
                    body.extend(end.bytes());
                }
            }
            let trailer = if random.once_in(2) { "x-trailer: 1" } else { "" };
            let last = if trailer.is_empty() { end } else { "" };
            body.extend(format!("0{end}{trailer}{end}{last}").bytes());
            if !trailer.is_empty() {
                body.extend(end.bytes());
            }
        }
        _ => {}
    }
    head.push_str(end);
    if random.once_in(6) {
        body.extend(b"\r\n");
    }
    (head.into_bytes(), body)
}

/// Returns the ranges of the packets of a stream of `len` bytes, in order of arrival.
fn packets(random: &mut Random, len: usize) -> Vec<std::ops::Range<usize>> {
    let longest = [1, 8, 60, 300, 1448][random.below(5)].max(len / 24);
    let mut packets = Vec::new();
    let mut at = 0;
    while at < len {
        let end = (at + 1 + random.below(longest)).min(len);
        packets.push(at..end);
        at = end;
    }
    for _ in 0..random.below(4) {
        // A retransmission, with the same limits or others, or a probe.
        let from = random.below(len);
        let to = (from + random.below(longest + 1)).min(len);
        packets.insert(random.below(packets.len()), from..to);
    }
    for _ in 0..random.below(6) {
        let (a, b) = (random.below(packets.len()), random.below(packets.len()));
        packets.swap(a, b);
    }
    packets
}

/// A case and its results.
struct Outcome {
    heads: Vec<Vec<u8>>,
    syn: bool,
    pipeline: Pipeline<Kernel>,
    kept: RecordingSink,
    lost: usize,
}

/// Sends one connection. Up to `losses` packets are lost between the kernel and the pipeline.
fn send(seed: u64, obeys: bool, losses: usize) -> Outcome {
    let random = &mut Random(seed);
    let requests: Vec<_> = (0..=random.below(5)).map(|_| request(random)).collect();
    let stream: Vec<u8> = requests.iter().flat_map(|(head, body)| [&head[..], body].concat()).collect();
    let mut packets = packets(random, stream.len());
    let lost: Vec<_> = (0..losses).map(|_| random.below(packets.len() + 1)).collect();
    let isn = if random.once_in(2) { u32::MAX - 100 } else { 7 };
    let seq = |at: usize| (isn + 1).wrapping_add(u32::try_from(at).unwrap());
    let syn = !random.once_in(4);
    packets.push(stream.len()..stream.len());

    let limits = Limits { bypass_bytes: 50, ..Limits::default() };
    let mut pipeline = Pipeline::with_bypass(limits, 0, Kernel { obeys, ..Kernel::default() });
    let mut kept = RecordingSink::default();
    if syn {
        pipeline.segment(&Segment { flags: SYN, ..segment(1, isn, b"") }, &mut kept);
    }
    // Packets that the kernel has copied and the pipeline has not read yet.
    let mut ring = Vec::new();
    let fin = packets.len() - 1;
    for (number, range) in packets.into_iter().enumerate() {
        let flags = if number == fin { FIN | ACK } else { ACK };
        let segment = Segment { flags, ..segment(1, seq(range.start), &stream[range]) };
        if !pipeline.bypass.covers(&segment) && !lost.contains(&number) {
            ring.push(segment);
        }
        if random.once_in(3) || number == fin {
            for segment in ring.drain(..) {
                pipeline.segment(&segment, &mut kept);
            }
            check(&pipeline);
        }
    }
    pipeline.tick(60_000_000, &mut kept);
    pipeline.lost(0);
    pipeline.tick(10_000_000_000, &mut kept);
    check(&pipeline);
    let heads = requests.into_iter().map(|(head, _)| head).collect();
    Outcome { heads, syn, pipeline, kept, lost: lost.len() }
}

#[test]
fn any_traffic_without_loss_yields_exactly_its_requests() {
    for seed in 0..CASES {
        let Outcome { heads, syn, kept, pipeline, .. } = send(seed, false, 0);
        assert_eq!(kept.heads.get(&1), Some(&heads), "seed {seed}");
        assert_eq!((kept.incomplete, kept.gaps), (0, 0), "seed {seed}");
        assert_eq!(kept.closed, [Closed::Fin], "seed {seed}");
        assert_eq!(pipeline.ledger().http.resyncs, u64::from(!syn), "seed {seed}");
    }
}

#[test]
fn any_traffic_yields_exactly_its_requests_when_it_is_bypassed() {
    let (mut set, mut effective) = (0, 0);
    for seed in 0..CASES {
        let Outcome { heads, syn, kept, pipeline, .. } = send(seed, true, 0);
        assert_eq!(kept.heads.get(&1), Some(&heads), "seed {seed}");
        assert_eq!((kept.incomplete, kept.gaps), (0, 0), "seed {seed}");
        assert_eq!(kept.closed, [Closed::Fin], "seed {seed}");
        assert_eq!(pipeline.ledger().http.resyncs, u64::from(!syn), "seed {seed}");
        assert_eq!(pipeline.bypass.bypass, None, "seed {seed}");
        set += pipeline.bypass.set;
        effective += u64::from(pipeline.ledger().stream.bypassed_bytes > 0);
    }
    assert!(set > CASES / 4 && effective > CASES / 20, "{set} set, {effective} of effect");
}

#[test]
fn whatever_is_lost_what_is_said_to_be_complete_is_right() {
    let mut incomplete = 0;
    for seed in 0..CASES {
        let Outcome { heads, syn, kept, lost, .. } = send(seed, seed % 2 == 0, 3);
        let RecordingSink { heads: found, gaps, closed, .. } = &kept;
        // In order, possibly with some missing.
        let mut sent = heads.iter();
        for head in found.get(&1).into_iter().flatten() {
            assert!(sent.any(|other| other == head), "seed {seed}: {}", head.escape_ascii());
        }
        let read = found.get(&1).map_or(0, Vec::len) + kept.incomplete;
        assert!(read <= heads.len(), "seed {seed}");
        // Without a SYN the beginning may be lost, and without the FIN the end, with no gap to show it.
        let has_ends = syn && !closed.is_empty();
        assert!(read == heads.len() || *gaps > 0 || !has_ends, "seed {seed}: {lost} lost, no gap");
        assert!(closed.len() <= 1, "seed {seed}");
        incomplete += kept.incomplete;
    }
    assert!(incomplete > 1000, "{incomplete} incomplete");
}
