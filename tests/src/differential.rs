//! Classifies packets with the kernel's program and with the classifier of `toa-tc read`, and compares all
//! that both know afterwards. The expected results are in [`tables`] and in the oracle of `toa_packets`.

pub mod probe;
pub mod random_packets;
pub mod tables;

use std::{collections::HashSet, net::IpAddr};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use toa_common::{
    address::Address,
    counters::Counter,
    flow::{
        Flow,
        flags::{START_DATA, START_KNOWN},
    },
    follow::Decision,
    inspect::Inspected,
    skip_reason::SkipReason,
    wire::toa_pairs::KNOWN_PAIRS,
};
use toa_lab_ebpf::digest::digest;
use toa_packets::{
    builder::{TCP, checksum::checksum},
    oracle::Segment,
};
use toa_userspace::{
    capture::{
        LinkType, Packet,
        classifier::{Classified, Classifier, Selection},
    },
    ledger::counters::Snapshot,
    rule::Rule,
};

use probe::Probe;

/// The flags of a known start.
const STARTS: u16 = START_KNOWN | START_DATA;

/// Creates a [`Differential`] for a selection.
pub type Open = fn(&Selection) -> Result<Differential>;

/// What a packet contains and what was decided on it, or why it was skipped.
pub type Taken = Result<(Inspected, Decision), SkipReason>;

/// The classifier of `toa-tc read`, and the kernel's program if a test compares both.
pub struct Differential {
    selection: Selection,
    classifier: Classifier,
    probe: Option<Probe>,
    /// Counts of earlier classifiers. The kernel's counters survive a restart.
    earlier: Counts,
    untrusted: HashSet<Address>,
}

/// Offset of the checksum in a TCP header.
const CHECKSUM: usize = 16;

/// The index of the loopback device, on which the kernel runs tests.
const LOOPBACK: u32 = 1;

/// Counts in the order of [`Counter::ALL`], followed by those of known pairs.
type Counts = Vec<u64>;

/// Counters of output. They differ because the kernel, without rings, loses each of its records.
const OUTPUT: [Counter; 10] = [
    Counter::Emitted,
    Counter::EmittedBytes,
    Counter::Cut,
    Counter::CutBytes,
    Counter::LostRingFull,
    Counter::LostRingFullBytes,
    Counter::LostNoReader,
    Counter::LostNoReaderBytes,
    Counter::LostOther,
    Counter::LostOtherBytes,
];

fn counts(snapshot: &Snapshot) -> Counts {
    let counters = Counter::ALL.iter().map(|counter| snapshot.get(*counter));
    counters.chain(snapshot.traffic().unselected_pairs).collect()
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

impl Differential {
    /// Creates the classifier without the kernel's program.
    pub fn user_space(selection: &Selection) -> Result<Self> {
        Ok(Self {
            selection: selection.clone(),
            classifier: Classifier::new(selection.clone()),
            probe: None,
            earlier: vec![0; Counter::ALL.len() + KNOWN_PAIRS.len()],
            untrusted: HashSet::new(),
        })
    }

    /// Creates both.
    pub fn with_kernel(selection: &Selection) -> Result<Self> {
        Ok(Self { probe: Some(Probe::load_with(selection)?), ..Self::user_space(selection)? })
    }

    /// Forgets all connections and watches `rules`.
    pub fn restart(&mut self, rules: &[Rule]) -> Result<()> {
        self.earlier = self.classifier_counts();
        self.untrusted.clear();
        let selection = Selection { rules: rules.to_vec(), ..self.selection.clone() };
        self.classifier = Classifier::new(selection);
        self.probe.as_mut().map_or(Ok(()), |probe| probe.restart(rules))
    }

    fn classifier_counts(&self) -> Counts {
        let now = counts(self.classifier.counters());
        self.earlier.iter().zip(now).map(|(before, now)| before + now).collect()
    }

    /// Classifies a frame with the right TCP checksum, because only user space verifies that. Fails unless both find,
    /// decide and keep the same.
    pub fn classify(&mut self, frame: &[u8]) -> Result<Taken> {
        let frame = &with_checksum(frame);
        let packet = Packet {
            time_ns: now_ns(),
            interface: LOOPBACK,
            link: LinkType::Ethernet,
            bytes: frame,
            wire_len: u32::try_from(frame.len())?,
            comment: None,
        };
        let untrusted = self.classifier.counters().get(Counter::Untrusted);
        let taken = self
            .classifier
            .classify(&packet)
            .map(|Classified { inspected, decision, .. }| (inspected, decision));
        if let Ok((inspected, _)) = &taken
            && self.classifier.counters().get(Counter::Untrusted) > untrusted
        {
            self.untrusted.insert(inspected.tcp.key.source);
        }
        if let Some(probe) = &mut self.probe {
            let here = digest(taken.as_ref().map(|(found, decision)| (found, *decision)).map_err(|it| *it));
            let there = probe.run(frame)?;
            ensure!(there == here, "kernel {there:#x}, classifier {here:#x}: {taken:?}: {frame:02x?}");
        }
        self.flow(&taken).with_context(|| format!("{taken:?}: {frame:02x?}"))?;
        Ok(taken)
    }

    /// Returns what is kept of a packet's connection. Fails if the two differ in anything but times.
    pub fn flow(&self, taken: &Taken) -> Result<Option<Flow>> {
        let Ok((inspected, _)) = taken else {
            return Ok(None);
        };
        let key = &inspected.tcp.key;
        let here = self.classifier.flow(key).copied();
        if let Some(probe) = &self.probe {
            let there = probe.flow(key)?;
            let is_joined = here.is_some_and(|flow| flow.flags & STARTS == 0);
            let comparable = there.map(|flow| if is_joined { startless(flow) } else { flow });
            ensure!(comparable.map(timeless) == here.map(timeless), "kernel {there:?}, classifier {here:?}");
        }
        Ok(here)
    }

    /// Fails unless both have the same counts and distrust the same sources.
    pub fn check_counts(&self) -> Result<()> {
        let Some(probe) = &self.probe else {
            return Ok(());
        };
        let (there, here) = (counts(&probe.counters()?), self.classifier_counts());
        let names = Counter::ALL.iter().map(|counter| counter.name().to_owned());
        let names = names.chain(KNOWN_PAIRS.map(|(kind, length)| format!("{kind}:{length}")));
        let is_output = |name: &str| OUTPUT.iter().any(|counter| counter.name() == name);
        for ((name, there), here) in names.zip(&there).zip(&here).filter(|((name, _), _)| !is_output(name)) {
            ensure!(there == here, "{name}: kernel {there}, classifier {here}");
        }
        let of = |counts: &Counts, counter: Counter| counts.get(counter as usize).copied().unwrap_or(0);
        let records = (of(&there, Counter::LostNoReader), of(&there, Counter::LostNoReaderBytes));
        let bytes = of(&here, Counter::EmittedBytes) + of(&here, Counter::CutBytes);
        let segments = (of(&here, Counter::Emitted), bytes);
        ensure!(records == segments, "{records:?} records, {segments:?} segments");
        let distrusted = probe.untrusted()?;
        ensure!(distrusted == self.untrusted, "the kernel distrusts {distrusted:?}");
        Ok(())
    }
}

/// Returns a flow of which it is not known where it starts. In a capture, earlier data shows that; the kernel's program asks
/// the server's socket, which packets of a test have not.
fn startless(flow: Flow) -> Flow {
    Flow { flags: flow.flags & !STARTS, ..flow }
}

/// Returns a frame with the right TCP checksum, if it is TCP.
fn with_checksum(frame: &[u8]) -> Vec<u8> {
    let mut fixed = frame.to_vec();
    let Some(segment) = Segment::of(frame) else {
        return fixed;
    };
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let addresses = [octets(segment.source.ip()), octets(segment.destination.ip())].concat();
    let len = u32::try_from(segment.tcp.len()).unwrap_or_default().to_be_bytes();
    // The pseudo header of IPv6 (RFC 8200 section 8.1). That of IPv4 has fewer zeros, which do not change the sum.
    let pseudo = [&addresses[..], &len, &[0, 0, 0, TCP]].concat();
    let mut summed = [&pseudo, segment.tcp].concat();
    summed.iter_mut().skip(pseudo.len() + CHECKSUM).take(2).for_each(|byte| *byte = 0);
    let sum = checksum(&summed).to_be_bytes();
    fixed.iter_mut().skip(segment.tcp_at + CHECKSUM).zip(sum).for_each(|(to, from)| *to = from);
    fixed
}

/// Clears the times of a flow, which the two take from different clocks.
fn timeless(flow: Flow) -> Flow {
    Flow { generation: 0, last_ns: 0, ended_ns: u64::from(flow.ended_ns != 0), ..flow }
}
