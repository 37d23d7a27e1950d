//! Responsible for what was seen of all packets, followed or not. Not responsible for counting.

use toa_common::wire::toa_pairs::KNOWN_PAIRS;

/// What was seen since the programs were attached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// TCP packets.
    pub tcp_packets: u64,
    /// Those of them that go to other local ports than those asked for.
    pub other_port_packets: u64,
    /// Any other packets.
    pub other_packets: u64,
    /// TCP packets with a TOA.
    pub toa_packets: u64,
    /// Those of them that no balancer sent.
    pub untrusted_packets: u64,
    /// Connections whose following began.
    pub learned: u64,
    /// Packets with a known option that is not TOA for this run, by its number in [`KNOWN_PAIRS`].
    pub unselected_pairs: [u64; KNOWN_PAIRS.len()],
}
