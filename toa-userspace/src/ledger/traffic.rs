//! Counts of all packets, followed or not.

use toa_common::wire::toa_pairs::KNOWN_PAIRS;

/// What was seen since the programs were attached, or in a file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// TCP packets.
    pub tcp_packets: u64,
    /// TCP packets to other local ports than those asked for.
    pub other_port_packets: u64,
    /// All other packets.
    pub other_packets: u64,
    /// TCP packets with a TOA.
    pub toa_packets: u64,
    /// TCP packets with a TOA from a source that is not a trusted balancer.
    pub untrusted_packets: u64,
    /// Connections that were learned.
    pub learned: u64,
    /// Packets with a known option that is not TOA for this run, by its number in [`KNOWN_PAIRS`].
    pub unselected_pairs: [u64; KNOWN_PAIRS.len()],
}
