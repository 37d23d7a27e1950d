//! Responsible for what the kernel, or what stands in for it, counted of followed packets. Not responsible for counting.

/// What the kernel counted, over all CPUs, or what stands in for it where a file is read. Packets are packets after GRO, bytes are bytes of payload.
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
}
