//! The kernel's counts for followed packets.

use super::account::{Account, Lost};

/// The kernel's counts over all CPUs, or those of the classifier that takes its place for a file. Packets are counted
/// after GRO; bytes are bytes of payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are those of `toa_common::counters::Counter`, documented there")]
pub struct KernelLedger {
    pub matched_packets: u64,
    pub matched_bytes: u64,
    pub emitted_packets: u64,
    pub emitted_bytes: u64,
    pub cut_packets: u64,
    pub cut_bytes: u64,
    pub lost_ring_full_packets: u64,
    pub lost_ring_full_bytes: u64,
    pub lost_no_reader_packets: u64,
    pub lost_no_reader_bytes: u64,
    pub lost_other_packets: u64,
    pub lost_other_bytes: u64,
    pub bypassed_packets: u64,
    pub bypassed_bytes: u64,
    pub plaintext: PlaintextLedger,
}

/// The kernel's counts of reads of plaintext on followed connections, and of their bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are those of `toa_common::counters::Counter`, documented there")]
pub struct PlaintextLedger {
    pub matched: u64,
    pub matched_bytes: u64,
    pub emitted: u64,
    pub emitted_bytes: u64,
    pub cut: u64,
    pub cut_bytes: u64,
    pub lost: Lost,
    pub lost_bytes: Lost,
    pub bypassed: u64,
    pub bypassed_bytes: u64,
}

impl PlaintextLedger {
    /// Returns the account of reads. Every emitted one counts as delivered.
    pub fn reads(&self) -> Account {
        Account {
            matched: self.matched,
            delivered: self.emitted,
            cut: None,
            lost: self.lost,
            bypassed: self.bypassed,
        }
    }

    /// Returns the account of bytes. Every emitted byte counts as delivered.
    pub fn bytes(&self) -> Account {
        Account {
            matched: self.matched_bytes,
            delivered: self.emitted_bytes,
            cut: Some(self.cut_bytes),
            lost: self.lost_bytes,
            bypassed: self.bypassed_bytes,
        }
    }
}

impl KernelLedger {
    /// Returns the account of packets. Every emitted packet counts as delivered.
    pub fn packets(&self) -> Account {
        Account {
            matched: self.matched_packets,
            delivered: self.emitted_packets,
            cut: None,
            lost: Lost {
                ring_full: self.lost_ring_full_packets,
                no_reader: self.lost_no_reader_packets,
                other: self.lost_other_packets,
            },
            bypassed: self.bypassed_packets,
        }
    }

    /// Returns the account of bytes. Every emitted byte counts as delivered.
    pub fn bytes(&self) -> Account {
        Account {
            matched: self.matched_bytes,
            delivered: self.emitted_bytes,
            cut: Some(self.cut_bytes),
            lost: Lost {
                ring_full: self.lost_ring_full_bytes,
                no_reader: self.lost_no_reader_bytes,
                other: self.lost_other_bytes,
            },
            bypassed: self.bypassed_bytes,
        }
    }
}
