//! Responsible for reading what the kernel program counted. Not responsible for counting.

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuArray},
};
use toa_common::{
    counters::{COUNTER_SLOTS, Counter, CounterValues, OTHER_PAIRS},
    wire::toa::KNOWN_PAIRS,
};

use crate::print::{explain::Seen, summary::KernelLedger};

/// One CPU's values, as the map holds them.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Values(CounterValues);

// SAFETY: an array of integers.
unsafe impl Pod for Values {}

/// The counters of a run.
pub struct Counters(PerCpuArray<MapData, Values>);

/// The sums over all CPUs at one time.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot([u64; COUNTER_SLOTS]);

impl Counters {
    /// The counters in the map `COUNTERS`.
    pub fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map).map(Self)
    }

    /// Reads and adds them up.
    pub fn read(&self) -> Result<Snapshot, MapError> {
        let mut sums = [0_u64; COUNTER_SLOTS];
        for Values(values) in self.0.get(&0, 0)?.iter() {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.saturating_add(*value);
            }
        }
        Ok(Snapshot(sums))
    }
}

impl Snapshot {
    /// One of them.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// What was seen of all packets.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let sum = |counters: &[Counter]| {
            counters.iter().fold(0_u64, |sum, counter| sum.saturating_add(self.get(*counter)))
        };
        let mut other_pairs = [0; KNOWN_PAIRS.len()];
        for (to, from) in other_pairs.iter_mut().zip(self.0.iter().skip(OTHER_PAIRS)) {
            *to = *from;
        }
        Seen {
            // Each is counted by exactly one of these.
            tcp_packets: sum(&[
                Counter::Unmarked,
                Counter::Unwatched,
                Counter::Forgotten,
                Counter::Bare,
                Counter::Matched,
                Counter::FlowInsertFailed,
                Counter::OtherPort,
            ]),
            other_port_packets: self.get(Counter::OtherPort),
            untrusted_packets: self.get(Counter::Untrusted),
            other_packets: sum(&[
                Counter::NotIp,
                Counter::NotTcp,
                Counter::Fragment,
                Counter::Truncated,
                Counter::Malformed,
                Counter::ExtensionHeaders,
            ]),
            toa_packets: self.get(Counter::Toa),
            learned: self.get(Counter::Learned),
            other_pairs,
        }
    }

    /// The kernel's part of the ledger.
    #[must_use]
    pub fn ledger(&self) -> KernelLedger {
        KernelLedger {
            matched_packets: self.get(Counter::Matched),
            matched_bytes: self.get(Counter::MatchedBytes),
            emitted_packets: self.get(Counter::Emitted),
            emitted_bytes: self.get(Counter::EmittedBytes),
            cut_packets: self.get(Counter::Cut),
            cut_bytes: self.get(Counter::CutBytes),
            lost_ring_full_packets: self.get(Counter::LostRingFull),
            lost_ring_full_bytes: self.get(Counter::LostRingFullBytes),
            lost_no_reader_packets: self.get(Counter::LostNoReader),
            lost_no_reader_bytes: self.get(Counter::LostNoReaderBytes),
            lost_other_packets: self.get(Counter::LostOther),
            lost_other_bytes: self.get(Counter::LostOtherBytes),
            skipped_packets: self.get(Counter::Skipped),
            skipped_bytes: self.get(Counter::SkippedBytes),
        }
    }
}
