//! The counters of the shared code, summed over all CPUs of the kernel program or counted for a file. The map that
//! holds the kernel's counters is in `live::maps`.

use toa_common::{
    counters::{COUNTER_SLOTS, Counter, CounterValues, UNSELECTED_PAIRS},
    skip_reason::SkipReason,
    wire::toa_pairs::KNOWN_PAIRS,
};

use crate::ledger::{
    account::Lost,
    add,
    kernel::{KernelLedger, PlaintextLedger},
    traffic::Traffic,
};

/// The sums at one point in time.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot(CounterValues);

impl Default for Snapshot {
    fn default() -> Self {
        Self([0; COUNTER_SLOTS])
    }
}

impl Snapshot {
    /// Adds the values of one CPU.
    pub(crate) fn add_all(&mut self, values: &CounterValues) {
        for (sum, value) in self.0.iter_mut().zip(values) {
            add(sum, *value);
        }
    }

    /// Adds to one counter.
    pub(crate) fn add(&mut self, counter: Counter, count: u64) {
        if let Some(sum) = self.0.get_mut(counter as usize) {
            add(sum, count);
        }
    }

    /// Adds 1 to one counter.
    pub(crate) fn increment(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts a skipped packet.
    pub(crate) fn skipped(&mut self, reason: SkipReason) {
        self.increment(reason.into());
    }

    /// Counts a packet with known options that are not TOA for this run. `pairs` has a bit for each of [`KNOWN_PAIRS`].
    pub(crate) fn unselected(&mut self, pairs: u32) {
        if pairs == 0 {
            return;
        }
        let sums = self.0.iter_mut().skip(UNSELECTED_PAIRS).take(KNOWN_PAIRS.len());
        for (number, sum) in sums.enumerate() {
            add(sum, u64::from(pairs >> number & 1));
        }
    }

    /// Returns the value of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Returns the counts of all packets, followed or not.
    pub fn traffic(&self) -> Traffic {
        let sum = |counters: &[Counter]| {
            counters.iter().fold(0_u64, |sum, counter| sum.saturating_add(self.get(*counter)))
        };
        let mut unselected_pairs = [0; KNOWN_PAIRS.len()];
        for (to, from) in unselected_pairs.iter_mut().zip(self.0.iter().skip(UNSELECTED_PAIRS)) {
            *to = *from;
        }
        Traffic {
            // Each packet is counted by exactly one of these.
            tcp_packets: sum(&[
                Counter::Unmarked,
                Counter::Unwatched,
                Counter::Unfollowed,
                Counter::PureAck,
                Counter::Matched,
                Counter::FlowInsertFailed,
                Counter::FlowReused,
                Counter::Handshakes,
                Counter::NoAck,
                Counter::OtherHost,
                Counter::OtherPort,
                Counter::Signed,
                Counter::AckUnacceptable,
                Counter::ServerClosed,
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
                Counter::IpInIp,
                Counter::Gre,
                Counter::Vxlan,
                Counter::Geneve,
                Counter::Mpls,
                Counter::Pppoe,
                Counter::Vlan,
            ]),
            toa_packets: self.get(Counter::Toa),
            learned: self.get(Counter::Learned),
            unselected_pairs,
        }
    }

    /// Returns the kernel's part of the ledger.
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
            bypassed_packets: self.get(Counter::Bypassed),
            bypassed_bytes: self.get(Counter::BypassedBytes),
            plaintext: self.plaintext(),
        }
    }

    /// Returns the part of the ledger that is about plaintext.
    fn plaintext(&self) -> PlaintextLedger {
        PlaintextLedger {
            matched: self.get(Counter::Plaintext),
            matched_bytes: self.get(Counter::PlaintextBytes),
            emitted: self.get(Counter::PlaintextEmitted),
            emitted_bytes: self.get(Counter::PlaintextEmittedBytes),
            cut: self.get(Counter::PlaintextCut),
            cut_bytes: self.get(Counter::PlaintextCutBytes),
            lost: Lost {
                ring_full: self.get(Counter::PlaintextLostRingFull),
                no_reader: self.get(Counter::PlaintextLostNoReader),
                other: self.get(Counter::PlaintextLostOther),
            },
            lost_bytes: Lost {
                ring_full: self.get(Counter::PlaintextLostRingFullBytes),
                no_reader: self.get(Counter::PlaintextLostNoReaderBytes),
                other: self.get(Counter::PlaintextLostOtherBytes),
            },
            bypassed: self.get(Counter::PlaintextBypassed),
            bypassed_bytes: self.get(Counter::PlaintextBypassedBytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_pair_has_a_counter_of_its_own() {
        let mut sums = Snapshot::default();
        for code in 1..=15 {
            sums.skipped(SkipReason::from_code(code).unwrap());
        }
        sums.unselected(1 | 1 << (KNOWN_PAIRS.len() - 1) | 1 << KNOWN_PAIRS.len());
        let traffic = sums.traffic();
        assert_eq!((traffic.other_packets, traffic.other_port_packets, traffic.tcp_packets), (13, 1, 2));
        assert_eq!((traffic.unselected_pairs[0], traffic.unselected_pairs[KNOWN_PAIRS.len() - 1]), (1, 1));
        assert_eq!(traffic.unselected_pairs.iter().sum::<u64>(), 2);
    }
}
